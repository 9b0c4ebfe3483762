// ReadIn: brings ranges of files into the page cache for the streams of one core and for its disk
// port, on a few threads of its own, so that neither the loop nor a flush waits for it. Called on
// its core.
#pragma once

#include "server/port/disk.h"
#include "server/uv/io_pool.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace qtool::uv {

/// Whose token it is.
enum class ReadInFor : uint8_t {
    stream,       // waits
    stream_ahead, // does not wait
    disk,         // Disk::read_in: somebody waits
};

/// What became of a read; travels from the pool to the core.
struct ReadInDone {
    Token token;
    Result<uint64_t> bytes; // that were missing
    ReadInFor whom = ReadInFor::stream;
};

class ReadIn {
public:
    /// `on_done` is called on a pool thread; it hands the result to the core.
    explicit ReadIn(std::function<void(ReadInDone)> on_done)
        : on_done_(std::move(on_done)),
          pool_(kThreadCountMax) {}

    /// `whom` waits for these. The bound is the caller's: one a stream; one a partition of a
    /// request.
    void read(ReadInFor whom, Token token, std::vector<port::FileRange> ranges);
    /// Nobody waits: one at a time, and none when too many are asked for already.
    void read_ahead(Token token, port::FileRange range);
    /// The core has taken note of a `ReadInDone`.
    void note_done(const ReadInDone& done);

    /// Finishes what the pool has; nothing may be asked for after.
    void stop() { pool_.stop(); }

private:
    /// Two that somebody waits for, one ahead.
    static constexpr uint32_t kThreadCountMax = 3;
    static constexpr uint32_t kAheadCountMax = 32;

    std::function<void(ReadInDone)> on_done_;
    uint32_t ahead_count_ = 0; // asked for and not noted as done
    IoPool pool_;
};

} // namespace qtool::uv
