#include "lib/config/overrides.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <vector>

namespace qtool::config {
namespace {

Error null_value(std::string_view name, Code code) {
    return {code, "the value of " + std::string(name) + " is null; give one"};
}

/// Appending skips what is there, subtracting what is not: both may be repeated safely.
std::string alter_list(std::vector<std::string> list, const std::vector<std::string>& change,
                       AlterOp op) {
    for (const std::string& element : change) {
        const auto at = std::find(list.begin(), list.end(), element);
        if (op == AlterOp::append && at == list.end()) {
            list.push_back(element);
        } else if (op == AlterOp::subtract && at != list.end()) {
            list.erase(at);
        }
    }
    std::string text;
    for (const std::string& element : list) {
        text += (text.empty() ? "" : ",") + element;
    }
    return text;
}

Result<void> alter_one(const OptionTable& table, Overrides& overrides, const Alteration& alteration,
                       const std::function<std::string(const OptionRow&)>& in_force) {
    if (alteration.op < 0 || alteration.op > static_cast<int8_t>(AlterOp::subtract)) {
        return Error(Code::invalid_request, "operation " + std::to_string(alteration.op) + " on " +
                                                alteration.name + " is unknown; 0 to 3 are known");
    }
    const auto op = static_cast<AlterOp>(alteration.op);
    if (op == AlterOp::remove) {
        // Of a name that nobody knows nothing is set, or an older version stored it.
        overrides.erase(alteration.name);
        return {};
    }
    QT_TRY_ASSIGN(const OptionRow* const row, require_option(table, alteration.name));
    if (!alteration.value) {
        return null_value(alteration.name, Code::invalid_request);
    }
    if (op == AlterOp::set) {
        QT_TRY_ASSIGN(overrides[alteration.name], normalize(*row, *alteration.value));
        return {};
    }
    if (row->type != OptionType::list) {
        return Error(Code::invalid_config, alteration.name + " is a " +
                                               std::string(to_string(row->type)) +
                                               "; append and subtract work on lists only");
    }
    // Only the result is held against Served: appending what is in force already changes nothing.
    OptionRow elements = *row;
    elements.served = Served::yes;
    QT_TRY_ASSIGN(const std::string change, normalize(elements, *alteration.value));
    QT_TRY_ASSIGN(overrides[alteration.name],
                  normalize(*row, alter_list(to_list(in_force(*row)), to_list(change), op)));
    return {};
}

} // namespace

Result<Overrides> make_overrides(const OptionTable& table,
                                 std::span<const RequestedOption> options) {
    Overrides overrides;
    for (const RequestedOption& option : options) {
        QT_TRY_ASSIGN(const OptionRow* const row, require_option(table, option.name));
        if (!option.value) {
            return null_value(option.name, Code::invalid_config);
        }
        QT_TRY_ASSIGN(std::string value, normalize(*row, *option.value));
        if (!overrides.emplace(option.name, std::move(value)).second) {
            return Error(Code::invalid_request, option.name + " is set twice in one request");
        }
    }
    return overrides;
}

Result<Overrides> alter_overrides(const OptionTable& table, const Overrides& current,
                                  std::span<const Alteration> alterations,
                                  const std::function<std::string(const OptionRow&)>& in_force) {
    Overrides overrides = current;
    std::set<std::string_view> names;
    for (const Alteration& alteration : alterations) {
        if (!names.insert(alteration.name).second) {
            return Error(Code::invalid_request,
                         alteration.name + " is altered twice in one request");
        }
        QT_TRY(alter_one(table, overrides, alteration, in_force));
    }
    return overrides;
}

} // namespace qtool::config
