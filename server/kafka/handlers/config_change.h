// What AlterConfigs and IncrementalAlterConfigs share: a list of resources, whose changes are one
// metadata operation.
#pragma once

#include "lib/base/assert.h"
#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/config_resource.h"
#include "server/metadata/decide_configs.h"

#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace qtool::kafka {

/// `Request` and `Response` are those of either API: their resources have equal field names.
template <class Request, class Response>
class ConfigChangePending final : public ChangePending<metadata::AlterConfigs> {
public:
    /// A resource that goes into the operation, or the error found before it.
    struct Plan {
        std::vector<std::optional<Error>> refused; // one a resource
        std::vector<bool> in_operation;            // one a resource
        std::vector<metadata::ResourceChange> changes;
    };

    ConfigChangePending(const Context& context, Request request, Plan plan)
        : ChangePending(context,
                        metadata::AlterConfigs(std::move(plan.changes), request.validate_only,
                                               context.services.config()),
                        kTimeoutMs),
          request_(std::move(request)),
          refused_(std::move(plan.refused)),
          in_operation_(std::move(plan.in_operation)) {}

    /// `to_change(configs)` turns the options of one topic into what the operation takes.
    template <class F>
    static Plan plan(const Request& request, BrokerId self, F&& to_change) {
        Plan plan;
        std::set<std::pair<int8_t, std::string_view>> once;
        std::set<std::pair<int8_t, std::string_view>> twice;
        for (const auto& resource : request.resources) {
            const std::pair key(resource.resource_type, resource.resource_name);
            if (!once.insert(key).second) {
                twice.insert(key);
            }
        }
        for (const auto& resource : request.resources) {
            const bool is_twice = twice.contains({resource.resource_type, resource.resource_name});
            std::optional<Error> refused = check(resource, self, is_twice);
            const bool is_change = !refused;
            if (is_change) {
                plan.changes.push_back({std::string(resource.resource_name),
                                        to_change(resource.configs),
                                        resource_of(resource.resource_type)});
            }
            plan.in_operation.push_back(is_change);
            plan.refused.push_back(std::move(refused));
        }
        return plan;
    }

private:
    static metadata::Resource resource_of(int8_t type) {
        switch (type) {
        case kConfigResourceTopic:
            return metadata::Resource::topic;
        case kConfigResourceBroker:
            return metadata::Resource::broker;
        case kConfigResourceGroup:
            return metadata::Resource::group;
        default:
            QT_UNREACHABLE(); // refused by check
        }
    }

    static constexpr int32_t kTimeoutMs = 60'000; // the requests carry none

    template <class Resource>
    static std::optional<Error> check(const Resource& resource, BrokerId self, bool is_twice) {
        if (is_twice) {
            return Error(Code::invalid_request, "resource '" + std::string(resource.resource_name) +
                                                    "' is in the request more than once");
        }
        Result<void> result =
            check_config_resource(resource.resource_type, resource.resource_name, self);
        if (result && resource.resource_type == kConfigResourceLogger) {
            result = Error(Code::invalid_request,
                           "the log level is the broker option log.level; set that, which lasts "
                           "beyond a restart");
        }
        return result ? std::nullopt : std::optional<Error>(std::move(result).error());
    }

    Answer answer(request::Services&) override {
        const auto& results = operation_.results();
        Response response;
        size_t next = 0;
        for (size_t i = 0; i < refused_.size(); i++) {
            const std::optional<Error>* error = &refused_[i];
            if (in_operation_[i]) {
                QT_ASSERT(next < results.size());
                error = &results[next++];
            }
            auto& out = response.responses.emplace_back();
            out.resource_type = request_.resources[i].resource_type;
            out.resource_name = request_.resources[i].resource_name;
            fill_error(*error ? &**error : nullptr, out);
        }
        return Answer{make_answer(this->head(), response)};
    }

    Request request_;
    std::vector<std::optional<Error>> refused_;
    std::vector<bool> in_operation_;
};

} // namespace qtool::kafka
