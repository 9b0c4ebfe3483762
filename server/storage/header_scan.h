// HeaderScan: walks the batch headers of a file range without reading the records.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/protocol/record_batch.h"
#include "server/port/disk.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace qtool::storage {

/// storage_damaged, of a file that holds batches.
Error damaged_at(const std::string& path, uint64_t position, const std::string& why);

class HeaderScan {
public:
    /// The range begins with a batch; `path` is for messages.
    HeaderScan(port::File& file, const std::string& path, uint64_t position, uint64_t end)
        : file_(file),
          path_(path),
          next_(position),
          end_(end) {}

    /// nullptr at the end. Errors: storage_io; storage_damaged (what is there is no batch).
    Result<const protocol::BatchHeader*> next();
    [[nodiscard]] uint64_t position() const { return position_; } // of the batch from next()

private:
    port::File& file_;
    const std::string& path_;
    uint64_t position_ = 0;
    uint64_t next_;
    uint64_t end_;
    std::unique_ptr<std::byte[]> window_; // kHeaderWindowSize, once something was read
    uint64_t window_position_ = 0;
    size_t window_size_ = 0;
    protocol::BatchHeader header_;
};

} // namespace qtool::storage
