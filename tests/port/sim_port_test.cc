// The contracts on the simulated world: what the simulator shows the broker is what a real machine
// could show it.
#include "tests/port/disk_contract.h"
#include "tests/port/net_contract.h"
#include "tests/port/sim_port_world.h"
#include "tests/port/store_contract.h"
#include "tests/sim/sim_store.h"

namespace qtool::test {

namespace {

template <sim::StoreTruth::Kind kind>
class SimStoreWorld {
public:
    SimStoreWorld() { reopen(); }
    port::MetadataStore& store() { return *store_; }
    bool wait_until(const std::function<bool()>& done) {
        return done() || world_.run_until(world_.now() + 1h, done);
    }
    void reopen() {
        if (alive_) {
            *alive_ = false;
        }
        alive_ = std::make_shared<bool>(true);
        store_ = std::make_unique<sim::SimStore>(
            world_, truth_, kHost, alive_, [](const std::function<void()>& action) { action(); });
    }

private:
    static constexpr sim::HostId kHost = 1;
    sim::World world_{1};
    sim::StoreTruth truth_{world_, kind};
    std::shared_ptr<bool> alive_;
    std::unique_ptr<sim::SimStore> store_;
};

using EmbeddedStoreWorld = SimStoreWorld<sim::StoreTruth::Kind::embedded>;
using SharedStoreWorld = SimStoreWorld<sim::StoreTruth::Kind::shared>;

} // namespace

} // namespace qtool::test

using namespace qtool;
using namespace qtool::test;

TYPE_TO_STRING(SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(disk_file, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(disk_names, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(disk_lock, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(disk_sync, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(disk_read_in, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_echo, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_dealing, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_detach, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_detached_end, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_backpressure, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_pieces, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_large_file, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_close_when_sent, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_close_deadline, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_peer_gone, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_close, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_short_file, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_stop_listening, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_connect, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_connect_early, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_connect_backpressure, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_connect_refused, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_connect_given_up, SimPortWorld);
TEST_CASE_TEMPLATE_INVOKE(net_connect_unknown, SimPortWorld);
TYPE_TO_STRING(EmbeddedStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_transactions, EmbeddedStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_order, EmbeddedStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_session, EmbeddedStoreWorld);
TYPE_TO_STRING(SharedStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_transactions, SharedStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_order, SharedStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_session, SharedStoreWorld);
