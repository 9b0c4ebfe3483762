// LibraryLinks: the client library's driver in the simulated world: carries out the outbox of a
// machine on simulated streams and brings what the streams do to the machine's Cluster.
#pragma once

#include "lib/client/cluster.h"
#include "tests/sim/workload.h"

#include <functional>
#include <map>

namespace qtool::sim {

class LibraryLinks final : public StreamEvents {
public:
    /// `on_news`: something came or ended; the machine should step.
    LibraryLinks(Client client, client::Cluster& cluster, std::function<void()> on_news)
        : client_(client),
          world_(*client.world),
          cluster_(cluster),
          on_news_(std::move(on_news)) {}

    void carry_out(client::Outbox& out);
    /// Steps at `due` (kMonoNever: not at all); replaces the earlier alarm.
    void set_alarm(MonoTime due);

    // StreamEvents
    void on_bytes(StreamId stream, ByteView bytes) override;
    void on_end(StreamId stream) override;

private:
    Client client_;
    World& world_;
    client::Cluster& cluster_;
    std::function<void()> on_news_;
    std::map<StreamId, client::LinkId> links_;
    std::map<client::LinkId, StreamId> streams_;
    uint64_t alarm_ = 0; // the latest; older ones are void
};

/// The options that every machine of the library runs with in here.
config::ClientConfig library_config(const Client& client);

} // namespace qtool::sim
