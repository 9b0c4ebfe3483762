// Payload: keys and values of benchmark records, repeatable from a seed. Values are printable text
// of 64 letters in random order (a codec saves about a quarter), keys "key-<number>" of one width.
// For end to end a value begins with a stamp: which run it is of, and when it was due.
#pragma once

#include "lib/base/prng.h"
#include "lib/base/time.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qtool::cli::bench {

/// Bytes of the stamp; a value that carries one is at least as long.
inline constexpr size_t kStampBytes = 16;

struct PayloadOptions {
    size_t value_bytes = 0;
    uint64_t key_count = 0;         // 0: records have no key
    std::optional<uint64_t> run_id; // values are stamped with it
    uint64_t seed = 0;
};

class Payload {
public:
    explicit Payload(const PayloadOptions& options);

    /// Makes key and value of the next record; views of them are valid until the next call.
    void next(MonoTime due);
    [[nodiscard]] std::optional<std::string_view> key() const {
        return options_.key_count == 0 ? std::nullopt : std::optional<std::string_view>(key_);
    }
    [[nodiscard]] std::string_view value() const { return value_; }
    /// Key and value of one record; the same for all.
    [[nodiscard]] size_t record_bytes() const { return key_.size() + options_.value_bytes; }

private:
    PayloadOptions options_;
    Prng prng_;
    size_t digits_ = 0; // of a key
    std::string pool_;  // values are pieces of it
    std::string key_;
    std::string value_;
};

/// When the record of that run was due; nothing: the value is of no or another run.
std::optional<MonoTime> read_stamp(std::string_view value, uint64_t run_id);

} // namespace qtool::cli::bench
