#include "tests/sim/scenario.h"

#include "tests/sim/compacted.h"
#include "tests/sim/coordination.h"
#include "tests/sim/dir_mover.h"
#include "tests/sim/library_consumer.h"
#include "tests/sim/library_producer.h"
#include "tests/sim/quota_check.h"
#include "tests/sim/sim_machine.h"
#include "tests/sim/space_check.h"
#include "tests/sim/workload.h"

#include <algorithm>
#include <optional>

namespace qtool::sim {

namespace {

// Once the faults are over, everything must be served again within this time.
constexpr Duration kRecoverMax = 90s;

class Scenario {
public:
    Scenario(uint64_t seed, const RunOptions& options)
        : world_(seed),
          network_(world_),
          store_(world_, StoreTruth::Kind::embedded),
          checker_(world_),
          compacted_(world_) {
        world_.set_printing(options.print_trace);
        Prng& random = world_.random();
        const auto cores = static_cast<uint16_t>(1 + random.below(3));
        Machine::Setup setup;
        setup.config = make_config(options.plant);
        setup.core_count = cores;
        setup.plant = options.plant;
        setup.network = &network_;
        setup.store = &store_;
        setup.address = "127.0.0.1";
        machine_ = std::make_unique<Machine>(world_, std::move(setup));
        client_ = Client{&world_, &network_, &checker_};
        make_topics();
        coordination_ = std::make_unique<Coordination>(client_, places_);
        topics_.insert(topics_.end(), coordination_->topics().begin(),
                       coordination_->topics().end());
        for (Operator::Topic& topic : compacted_.make(client_)) {
            topics_.push_back(std::move(topic));
        }
        operator_ = std::make_unique<Operator>(client_, topics_, places_, random.chance(400'000));
        make_clients();
        make_aging_clients();
        make_dir_mover();
        horizon_ = world_.between(2s, 9s);
        if (random.chance(60'000)) {
            horizon_ += 70s; // long enough for idle files to be closed
        }
    }

    void run() {
        network_.set_cut_percent(
            world_.chance_percent(50) ? static_cast<uint32_t>(world_.random().below(60)) : 0);
        machine_->start();
        operator_->start();
        const bool created =
            world_.run_until(world_.now() + kRecoverMax, [&] { return operator_->has_topics(); });
        if (!created) {
            world_.violate("the topics could not be created");
            return;
        }
        for (const auto& producer : producers_) {
            producer->start();
        }
        if (library_producer_) {
            library_producer_->start();
        }
        for (const auto& reader : readers_) {
            reader->start();
        }
        if (library_consumer_) {
            library_consumer_->start();
        }
        coordination_->start();
        compacted_.start();
        if (dir_mover_) {
            dir_mover_->start();
        }
        plan_faults();
        world_.run_until(world_.now() + horizon_, [] { return false; });
        end_faults();
        const bool served = world_.run_until(world_.now() + kRecoverMax, [&] {
            return operator_->is_done() && coordination_->is_done() && compacted_.is_done() &&
                   (!library_producer_ || library_producer_->is_done()) &&
                   (!dir_mover_ || dir_mover_->is_done()) &&
                   std::all_of(producers_.begin(), producers_.end(),
                               [](const auto& producer) { return producer->is_done(); });
        });
        if (!served) {
            world_.violate("not all is served again " + std::to_string(kRecoverMax / 1s) +
                           " s after the last fault: " + coordination_->describe());
            return;
        }
        check_quotas();
        check_space();
        audit("after the faults");
        // What an audit saw was readable, so it must survive whatever comes: the same once more
        // after the power is lost in a quiet moment, and after a clean stop.
        machine_->lose_power();
        audit("after a last power loss");
        machine_->stop_gracefully();
        world_.run_until(world_.now() + 1s, [] { return false; });
        audit("after a clean stop");
    }

    RunResult result() const {
        RunResult result;
        result.violation = world_.violation();
        result.trace_hash = world_.trace_hash();
        result.events = world_.event_count();
        result.records_acknowledged = checker_.acknowledged();
        result.records_read = checker_.read();
        result.simulated_seconds =
            static_cast<double>(world_.now().time_since_epoch().count()) / 1e9;
        result.faults = world_.faults();
        return result;
    }

private:
    config::BrokerConfig make_config(Plant plant) {
        Prng& random = world_.random();
        config::BrokerConfig config;
        config.auto_create_topics_enable = false;
        config.retention_check_interval_ms = random.between(300, 5000);
        const auto set = [&](const char* option, int64_t value) {
            config.settings[option] = {std::to_string(value), "scenario"};
        };
        // Far below what an operator may ask for, so that logs roll and indexes have entries.
        set("log.segment.bytes", random.between(9'000, 60'000)); // above any batch
        set("log.index.interval.bytes", random.between(100, 4096));
        set("log.index.size.max.bytes", random.between(200, 4096));
        set("log.segment.delete.delay.ms", random.between(0, 3000));
        if (random.chance(200'000)) {
            set("log.roll.ms", random.between(200, 3000));
        }
        if (random.chance(300'000)) { // else moves are over soon
            set("replica.alter.log.dirs.io.max.bytes.per.second", random.between(20'000, 500'000));
        }
        Coordination::configure(world_, config);
        compacted_.configure(config);
        config.log_dir_reserve_bytes = random.below(2) == 0 ? 0 : -1; // else the disk never says no
        has_reserve_ = config.log_dir_reserve_bytes != 0;
        // Mostly so small that its files take turns.
        config.flush_journal_bytes =
            random.below(4) == 0 ? 0 : int64_t{1} << random.between(15, 21);
        config.quota_window_num = static_cast<int32_t>(random.between(2, 6));
        quota_window_ =
            std::chrono::seconds((config.quota_window_num - 1) * config.quota_window_size_seconds);
        if (plant == Plant::write_caching) {
            config.settings["write.caching"] = {"true", "scenario"};
        }
        return config;
    }

    void make_topics() {
        Prng& random = world_.random();
        const uint64_t topics = 1 + random.below(2);
        for (uint64_t i = 0; i < topics; i++) {
            make_topic({"t" + std::to_string(i), static_cast<int32_t>(1 + random.below(3))},
                       std::nullopt, places_);
        }
        if (random.chance(250'000)) {
            const auto retention = std::chrono::milliseconds(random.between(300, 5000));
            make_topic({"aging",
                        static_cast<int32_t>(1 + random.below(2)),
                        {{"retention.ms", std::to_string(retention / 1ms)}}},
                       retention, aging_places_);
        }
    }

    void make_topic(Operator::Topic topic, std::optional<Duration> retention,
                    std::vector<PartitionPlace>& places) {
        for (int32_t index = 0; index < topic.partitions; index++) {
            const std::string name = topic.name + "-" + std::to_string(index);
            places.push_back({topic.name, index, checker_.add_partition(name, retention)});
        }
        topics_.push_back(std::move(topic));
    }

    // Of topics whose records age: clients of their own, since what they read may be gone.
    void make_aging_clients() {
        if (aging_places_.empty()) {
            return;
        }
        Producer::Setup setup;
        setup.client = client_;
        setup.partitions = aging_places_;
        setup.is_idempotent = world_.chance_percent(70);
        setup.batches = static_cast<uint32_t>(30 + world_.random().below(90));
        setup.interval = world_.between(10ms, 100ms);
        setup.value_size_max = 100 + world_.random().below(500); // a batch fits a segment
        producers_.push_back(std::make_unique<Producer>(std::move(setup)));
        readers_.push_back(std::make_unique<Reader>(client_, aging_places_, false));
    }

    // Moves everything that there is, coordinators' partitions apart.
    void make_dir_mover() {
        if (machine_->log_dirs().size() < 2 || !world_.chance_percent(60)) {
            return;
        }
        std::vector<PartitionPlace> places = places_;
        places.insert(places.end(), aging_places_.begin(), aging_places_.end());
        dir_mover_ = std::make_unique<DirMover>(client_, std::move(places), machine_->log_dirs());
    }

    void make_clients() {
        Prng& random = world_.random();
        const uint64_t producers = 1 + random.below(3);
        for (uint64_t i = 0; i < producers; i++) {
            Producer::Setup setup;
            setup.client = client_;
            setup.partitions = places_;
            setup.is_idempotent = i == 0 || random.chance(600'000);
            setup.acks = setup.is_idempotent || random.chance(500'000) ? int16_t{-1} : int16_t{1};
            setup.batches = static_cast<uint32_t>(20 + random.below(60));
            setup.interval = world_.between(10ms, 120ms);
            setup.value_size_max = 10 + random.below(600);
            producers_.push_back(std::make_unique<Producer>(std::move(setup)));
        }
        if (random.chance(600'000)) {
            library_producer_ = std::make_unique<LibraryProducer>(
                client_, places_, static_cast<uint32_t>(50 + random.below(400)),
                world_.between(5ms, 60ms));
        }
        if (random.chance(600'000)) {
            library_consumer_ = std::make_unique<LibraryConsumer>(client_, places_);
        }
        const uint64_t readers = 1 + random.below(2);
        for (uint64_t i = 0; i < readers; i++) {
            readers_.push_back(std::make_unique<Reader>(client_, places_, false));
        }
    }

    // Each seed has a few kinds of faults, so that what one kind needs is not always destroyed by
    // another.
    void plan_faults() {
        Prng& random = world_.random();
        const uint64_t count = random.below(8);
        const uint64_t kinds = random.next();
        for (uint64_t i = 0; i < count; i++) {
            enum : uint64_t {
                kill,
                kill_within,
                power,
                power_within,
                sync_error,
                full,
                reset,
                stall,
                clock,
                stop,
                stop_kill,
                start_kill,
                kind_count
            };
            uint64_t kind = random.below(kind_count);
            while ((kinds >> kind & 1) == 0 && random.chance(800'000)) {
                kind = random.below(kind_count);
            }
            const Duration when = world_.between(50ms, horizon_);
            const uint64_t operations = 1 + random.below(60);
            world_.after(when, [this, kind, operations] {
                switch (kind) {
                case kill:
                    machine_->kill();
                    return;
                case kill_within:
                    machine_->kill_within(operations);
                    return;
                case power:
                    machine_->lose_power();
                    return;
                case power_within:
                    machine_->lose_power_within(operations);
                    return;
                case sync_error:
                    break_sync();
                    return;
                case full:
                    fill_disk();
                    return;
                case reset:
                    network_.reset_some();
                    return;
                case stall:
                    network_.stall_clients(world_.between(10ms, 1500ms));
                    return;
                case clock:
                    machine_->jump_clock();
                    checker_.on_clock(machine_->wall_offset());
                    return;
                case stop:
                    machine_->stop_gracefully();
                    return;
                case stop_kill:
                    machine_->stop_gracefully();
                    machine_->kill_within(1 + operations % 12);
                    return;
                default:
                    // And again within what the start does on disk.
                    machine_->kill();
                    world_.chance_percent(50) ? machine_->kill_within(operations)
                                              : machine_->lose_power_within(operations);
                    return;
                }
            });
        }
    }

    // The log goes offline; an operator restarts the broker after a while, on a new boot: what the
    // failed sync lost is not in the page cache any more.
    void break_sync() {
        machine_->device().fail_syncs(1);
        world_.after(world_.between(100ms, 2s), [this] {
            if (!machine_->device().fails_syncs()) {
                machine_->lose_power();
            }
        });
    }

    void fill_disk() {
        machine_->device().set_full(true);
        world_.after(world_.between(50ms, 3s), [this] { machine_->device().set_full(false); });
    }

    void end_faults() {
        machine_->heal();
        network_.set_cut_percent(0);
        // Logs that a fault took offline come back with a restart.
        world_.chance_percent(50) ? machine_->lose_power() : machine_->kill();
        operator_->finish();
        coordination_->finish();
        if (dir_mover_) {
            dir_mover_->finish();
        }
    }

    // Quiet times, so that what is seen in them is nobody else's fault: the last faults end a while
    // after the first that come no more.
    void wait_for_quiet() {
        world_.run_until(world_.now() + 4s, [] { return false; });
        if (!world_.run_until(world_.now() + kRecoverMax, [&] { return machine_->is_serving(); })) {
            world_.violate("the broker does not serve");
        }
    }

    void check_quotas() {
        if (world_.violation() || !world_.chance_percent(15)) {
            return;
        }
        wait_for_quiet();
        quota_check_ = std::make_unique<QuotaCheck>(client_, quota_window_);
        quota_check_->start();
        if (!world_.run_until(world_.now() + kRecoverMax,
                              [&] { return quota_check_->is_done(); })) {
            world_.violate("clients with quotas are not done");
        }
    }

    void check_space() {
        if (world_.violation() || !has_reserve_ || !world_.chance_percent(40)) {
            return;
        }
        wait_for_quiet();
        space_check_ = std::make_unique<SpaceCheck>(client_, machine_->device());
        space_check_->start();
        if (!world_.run_until(world_.now() + kRecoverMax,
                              [&] { return space_check_->is_done(); })) {
            world_.violate("clients of a disk with little room are not done");
        }
    }

    void audit(const char* when) {
        if (world_.violation()) {
            return;
        }
        std::vector<PartitionPlace> places = places_;
        places.insert(places.end(), aging_places_.begin(), aging_places_.end());
        audits_.push_back(std::make_unique<Reader>(client_, std::move(places), true));
        Reader& reader = *audits_.back();
        reader.start();
        coordination_->start_audit();
        KeyedReader* const keyed = compacted_.begin_audit(); // may be absent
        if (!world_.run_until(world_.now() + kRecoverMax, [&] {
                return reader.is_done() && coordination_->audit_left().empty() &&
                       (keyed == nullptr || keyed->is_done());
            })) {
            world_.violate(std::string("not all could be read ") + when + " " +
                           coordination_->audit_left());
        }
        reader.stop();
        coordination_->stop_audit();
        if (keyed != nullptr) {
            keyed->stop();
        }
    }

    World world_;
    Network network_;
    StoreTruth store_;
    Checker checker_;
    Compacted compacted_;
    std::unique_ptr<Machine> machine_;
    Client client_;
    std::vector<Operator::Topic> topics_;
    std::vector<PartitionPlace> places_;
    std::vector<PartitionPlace> aging_places_; // with retention.ms
    std::unique_ptr<Operator> operator_;
    std::vector<std::unique_ptr<Producer>> producers_;
    std::unique_ptr<LibraryProducer> library_producer_; // in most seeds
    std::unique_ptr<LibraryConsumer> library_consumer_; // may be absent
    std::unique_ptr<Coordination> coordination_;
    std::unique_ptr<DirMover> dir_mover_; // may be absent
    std::vector<std::unique_ptr<Reader>> readers_;
    std::vector<std::unique_ptr<Reader>> audits_;
    std::unique_ptr<QuotaCheck> quota_check_; // in some seeds
    std::unique_ptr<SpaceCheck> space_check_; // in some seeds
    bool has_reserve_ = false;
    Duration quota_window_{};
    Duration horizon_{};
};

} // namespace

RunResult run_seed(uint64_t seed, const RunOptions& options) {
    Scenario scenario(seed, options);
    scenario.run();
    return scenario.result();
}

} // namespace qtool::sim
