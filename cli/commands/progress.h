// Progress: one line on a terminal's stderr that is written over, at most a few times a second.
#pragma once

#include "cli/context.h"

namespace qtool::cli {

class Progress {
public:
    /// Does nothing unless `enabled`.
    Progress(const Context& context, bool enabled);

    /// Counts what was read.
    void add(uint64_t records, uint64_t bytes) {
        records_ += records;
        bytes_ += bytes;
    }
    /// Writes the line when it is due.
    void show(uint64_t delivered);
    /// Takes the line away, so that a message can stand in its place.
    void clear();
    /// Writes the last state and leaves it there.
    void finish(uint64_t delivered);

private:
    void write(uint64_t delivered, MonoTime now);

    bool enabled_;
    bool shown_ = false;
    uint64_t records_ = 0;
    uint64_t bytes_ = 0;
    MonoTime started_;
    MonoTime due_;
};

} // namespace qtool::cli
