// DirMover: a client that asks for partitions to go from one log directory to another, again and
// again, while everything else goes on. In the end each is sent to one directory, and has to be
// there, and nowhere else.
#pragma once

#include "tests/sim/workload.h"

#include <map>

namespace qtool::sim {

class DirMover {
public:
    /// `dirs`: log.dirs, at least two.
    DirMover(Client client, std::vector<PartitionPlace> partitions, std::vector<std::string> dirs);
    void start() { line_.connect_later(0ms); }
    /// The faults are over.
    void finish();
    /// After finish: all is where it should be.
    [[nodiscard]] bool is_done() const { return is_done_; }

private:
    void next();
    void ask_moves(const std::vector<size_t>& partitions, const std::string& dir);
    void ask_places();

    Client client_;
    World& world_;
    ClientLine line_;
    std::vector<PartitionPlace> partitions_;
    std::vector<std::string> dirs_;
    std::string last_dir_; // where all go in the end
    uint64_t moving_ = 0;  // as of the last look
    bool is_finishing_ = false;
    bool is_done_ = false;
};

} // namespace qtool::sim
