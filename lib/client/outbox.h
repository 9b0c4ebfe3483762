// Outbox: what the machines of this folder want done, for the driver to do after each step: first
// the closes, then the connects, then the writes, each in order. Link ids are never used twice.
#pragma once

#include "lib/base/bytes.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qtool::client {

using LinkId = uint64_t; // one attempt at one connection; 0: none

struct Outbox {
    struct Connect {
        LinkId link = 0;
        std::string host;
        uint16_t port = 0;
    };
    struct Write {
        LinkId link = 0;
        std::vector<std::vector<std::byte>> buffers;
    };

    std::vector<LinkId> closes;
    std::vector<Connect> connects;
    std::vector<Write> writes;

    void clear() {
        closes.clear();
        connects.clear();
        writes.clear();
    }
};

} // namespace qtool::client
