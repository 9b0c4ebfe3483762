#include "cli/bench/payload.h"

#include "lib/base/assert.h"

#include <cstring>

namespace qtool::cli::bench {

namespace {

constexpr size_t kPoolBytes = 1024 * 1024; // pieces seldom overlap within one batch
constexpr std::string_view kLetters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

} // namespace

Payload::Payload(const PayloadOptions& options) : options_(options), prng_(options.seed) {
    QT_ASSERT(!options.run_id || options.value_bytes >= kStampBytes);
    pool_.resize(kPoolBytes + options.value_bytes);
    for (char& letter : pool_) {
        letter = kLetters[prng_.below(kLetters.size())];
    }
    value_.resize(options.value_bytes);
    if (options.key_count > 0) {
        digits_ = std::to_string(options.key_count - 1).size();
        key_ = "key-" + std::string(digits_, '0');
    }
}

void Payload::next(MonoTime due) {
    if (options_.key_count > 0) {
        uint64_t number = prng_.below(options_.key_count);
        for (size_t i = 0; i < digits_; i++, number /= 10) {
            key_[key_.size() - 1 - i] = static_cast<char>('0' + number % 10);
        }
    }
    std::memcpy(value_.data(), pool_.data() + prng_.below(kPoolBytes), value_.size());
    if (options_.run_id) {
        const int64_t due_ns = due.time_since_epoch().count();
        std::memcpy(value_.data(), &*options_.run_id, sizeof *options_.run_id);
        std::memcpy(value_.data() + sizeof *options_.run_id, &due_ns, sizeof due_ns);
    }
}

std::optional<MonoTime> read_stamp(std::string_view value, uint64_t run_id) {
    uint64_t found = 0;
    int64_t due_ns = 0;
    static_assert(sizeof found + sizeof due_ns == kStampBytes);
    if (value.size() < kStampBytes) {
        return std::nullopt;
    }
    std::memcpy(&found, value.data(), sizeof found);
    std::memcpy(&due_ns, value.data() + sizeof found, sizeof due_ns);
    return found == run_id ? std::optional(MonoTime(Duration(due_ns))) : std::nullopt;
}

} // namespace qtool::cli::bench
