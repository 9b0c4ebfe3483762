#include "tests/sim/cluster_scenario.h"

#include "server/metadata/partition_change.h"
#include "server/metadata/replay.h"
#include "tests/sim/bit_rot.h"
#include "tests/sim/cluster_faults.h"
#include "tests/sim/coordination.h"
#include "tests/sim/forger.h"
#include "tests/sim/library_consumer.h"
#include "tests/sim/library_producer.h"
#include "tests/sim/member_audit.h"
#include "tests/sim/purger.h"
#include "tests/sim/replica_audit.h"
#include "tests/sim/restart_watch.h"
#include "tests/sim/sim_machine.h"
#include "tests/sim/workload.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace qtool::sim {

namespace {

// Once the faults are over, everything must be served again within this time.
constexpr Duration kRecoverMax = 90s;
constexpr Duration kIsrMax = 60s; // ... and every ISR be full again

class ClusterScenario {
public:
    ClusterScenario(uint64_t seed, const ClusterRunOptions& options)
        : world_(seed),
          network_(world_),
          store_(world_, StoreTruth::Kind::shared),
          checker_(world_),
          restart_watch_(
              options.run.print_trace,
              [this](std::string_view partition, int64_t offset) {
                  checker_.on_restarted(partition, offset);
              },
              [this](std::string_view why) { on_damage(why); }),
          options_(options) {
        world_.set_printing(options.run.print_trace);
        if (options.run.plant == Plant::lost_answer) {
            store_.set_sends_again();
        }
        network_.reset_strangers();
        checker_.set_replicated();
        Prng& random = world_.random();
        const uint64_t dice = random.below(20);
        const auto brokers = static_cast<uint16_t>(dice == 0   ? 1
                                                   : dice < 3  ? 2
                                                   : dice < 15 ? 3
                                                               : 4 + random.below(4));
        session_timeout_ = world_.between(1s, 4s);
        replication_cap_ = static_cast<uint16_t>(random.chance(850'000) ? 3 : 5);
        make_machines(brokers);
        make_topics();
        std::vector<std::string> addresses;
        for (const auto& machine : machines_) {
            addresses.push_back(machine->address());
        }
        directory_ = std::make_unique<Directory>(world_, network_, std::move(addresses));
        directory_->is_lease_over = [this](const std::string& address) {
            return std::any_of(machines_.begin(), machines_.end(), [&](const auto& machine) {
                return machine->address() == address &&
                       world_.now() >= store_.lease_until(machine->host());
            });
        };
        directory_->is_latest_epoch = [this](const std::string& topic, int32_t index,
                                             int32_t epoch) {
            return is_latest_epoch(topic, index, epoch);
        };
        client_ = Client{&world_, &network_, &checker_, directory_.get()};
        coordination_ = std::make_unique<Coordination>(client_, places_, replication_max());
        topics_.insert(topics_.end(), coordination_->topics().begin(),
                       coordination_->topics().end());
        operator_ = std::make_unique<Operator>(client_, topics_, places_, random.chance(300'000));
        operator_->set_replication_factor(replication_max());
        if (random.chance(500'000)) {
            operator_->move_replicas(brokers);
        }
        if (random.chance(500'000)) {
            operator_->change_broker();
        }
        horizon_ = world_.between(3s, 12s);
        plan_ = make_fault_plan(seed, brokers, session_timeout_, horizon_);
        make_clients();
        faults_ = std::make_unique<ClusterFaults>(ClusterFaults::Setup{
            &world_, &network_, &store_, &checker_, &machines_,
            [this] { return all_live() && is_isr_full() && no_member_is_to_leave(); },
            [this](BrokerId broker) { return is_settled_but(broker); },
            [this] { return is_replicated(); }, [this](Machine& machine) { return rot(machine); },
            [this](const Machine& machine) { member_audit_->on_replaced(machine); },
            [this](uint32_t number) { return leader_of(number); }});
        member_audit_ = std::make_unique<MemberAudit>(
            MemberAudit::Setup{&world_, &store_, &checker_, &machines_, &places_});
    }

    void run() {
        network_.set_cut_percent(
            world_.chance_percent(30) ? static_cast<uint32_t>(world_.random().below(40)) : 0);
        for (const auto& machine : machines_) {
            world_.after(world_.between(0ms, 300ms), [&machine] { machine->start(); });
        }
        if (!world_.run_until(world_.now() + kRecoverMax, [&] { return all_serve(); })) {
            world_.violate("not all brokers came up" + last_outcomes());
            return;
        }
        directory_->start();
        member_audit_->start();
        operator_->start();
        if (!world_.run_until(world_.now() + kRecoverMax,
                              [&] { return operator_->has_topics(); })) {
            world_.violate("the topics could not be created");
            return;
        }
        // A client does not wait for a topic as long as the store may be away.
        const Revision with_topics = store_.revision();
        world_.run_until(world_.now() + kRecoverMax, [&] {
            return std::all_of(machines_.begin(), machines_.end(), [&](const auto& machine) {
                return store_.told(machine->host()) >= with_topics;
            });
        });
        start_clients();
        for (size_t i = 0; i < plan_.size(); i++) {
            if (!options_.faults ||
                std::count(options_.faults->begin(), options_.faults->end(), i)) {
                world_.after(plan_[i].when, [this, fault = plan_[i]] { faults_->begin(fault); });
            }
        }
        world_.run_until(world_.now() + horizon_, [] { return false; });
        end_faults();
        if (!recover("after the faults")) {
            return;
        }
        audit("after the faults");
        wait_for_replaced();
        for (const auto& machine : machines_) {
            machine->lose_power();
        }
        recover("after a power loss of all");
        audit("after a power loss of all");
        wait_for_replaced();
        for (const auto& machine : machines_) {
            machine->stop_gracefully();
        }
        world_.run_until(world_.now() + 1s, [] { return false; });
        recover("after a graceful stop of all");
        audit("after a graceful stop of all");
        forge_epochs();
    }

    ClusterRunResult result() const {
        ClusterRunResult result;
        result.run.violation = world_.violation();
        result.run.trace_hash = world_.trace_hash();
        result.run.events = world_.event_count();
        result.run.records_acknowledged = checker_.acknowledged();
        result.run.records_read = checker_.read();
        result.run.simulated_seconds =
            static_cast<double>(world_.now().time_since_epoch().count()) / 1e9;
        result.run.faults = world_.faults();
        result.plan = plan_;
        result.setup = setup_text_;
        return result;
    }

private:
    // ---- setup ----------------------------------------------------------------------------------

    void make_machines(uint16_t count) {
        Prng& random = world_.random();
        config::BrokerConfig common = make_config(std::min<int32_t>(replication_cap_, count));
        const uint64_t racks = random.below(4); // 0: none
        for (uint16_t i = 0; i < count; i++) {
            Machine::Setup setup;
            setup.config = common;
            setup.config.node_id = i + 1;
            setup.address = "10.0.1." + std::to_string(i + 1);
            setup.config.listeners = {{setup.address, kBrokerPort}};
            setup.config.insecure_allow_remote = true;
            if (racks > 0) {
                setup.config.rack = "rack" + std::to_string(i % racks);
            }
            setup.core_count = static_cast<uint16_t>(1 + random.below(2));
            setup.plant = options_.run.plant;
            setup.network = &network_;
            setup.store = &store_;
            machines_.push_back(std::make_unique<Machine>(world_, std::move(setup)));
        }
        setup_text_ = std::to_string(count) + " brokers, session timeout " +
                      std::to_string(session_timeout_ / 1ms) + " ms";
    }

    config::BrokerConfig make_config(int32_t replicas) {
        Prng& random = world_.random();
        config::BrokerConfig config;
        config.auto_create_topics_enable = false;
        config.retention_check_interval_ms = random.between(300, 5000);
        const auto set = [&](const char* option, int64_t value) {
            config.settings[option] = {std::to_string(value), "scenario"};
        };
        set("log.segment.bytes", random.between(9'000, 60'000)); // above any batch
        // Of the logs of coordinators, too: whoever reads one of many segments does it in steps.
        const bool rolls_often = random.chance(400'000);
        set("log.index.interval.bytes", random.between(100, rolls_often ? 400 : 4096));
        set("log.index.size.max.bytes",
            rolls_often ? random.between(40, 200) : random.between(200, 4096));
        set("log.segment.delete.delay.ms", random.between(0, 3000));
        config.session_timeout_ms = static_cast<int32_t>(session_timeout_ / 1ms);
        config.replica_lag_max_ms = random.between(500, 6000);
        config.leader_imbalance_check_interval_seconds = random.between(1, 5);
        config.offsets_topic_replication_factor = replicas;
        config.transaction_state_replication_factor = replicas;
        config.transaction_state_min_isr = std::min<int32_t>(2, replicas);
        Coordination::configure(world_, config);
        config.log_dir_reserve_bytes = random.below(2) == 0 ? 0 : -1;
        // Mostly so small that its files take turns.
        config.flush_journal_bytes =
            random.below(4) == 0 ? 0 : int64_t{1} << random.between(15, 21);
        if (options_.run.plant == Plant::write_caching) {
            config.settings["write.caching"] = {"true", "scenario"};
        }
        return config;
    }

    [[nodiscard]] int16_t replication_max() const {
        return static_cast<int16_t>(std::min<size_t>(replication_cap_, machines_.size()));
    }

    void make_topics() {
        Prng& random = world_.random();
        const uint64_t topics = 1 + random.below(3);
        for (uint64_t i = 0; i < topics; i++) {
            Operator::Topic topic;
            topic.name = "t" + std::to_string(i);
            topic.partitions = static_cast<int32_t>(1 + random.below(5));
            topic.replication_factor = static_cast<int16_t>(
                random.chance(700'000)
                    ? replication_max()
                    : 1 + random.below(static_cast<uint64_t>(replication_max())));
            const int64_t min_isr =
                random.between(1, std::min<int16_t>(2, topic.replication_factor));
            topic.configs["min.insync.replicas"] = std::to_string(min_isr);
            for (int32_t index = 0; index < topic.partitions; index++) {
                const std::string name = topic.name + "-" + std::to_string(index);
                places_.push_back({topic.name, index, checker_.add_partition(name)});
            }
            setup_text_ += "; " + topic.name + ": " + std::to_string(topic.partitions) +
                           " partitions, RF " + std::to_string(topic.replication_factor) +
                           ", min ISR " + std::to_string(min_isr);
            topics_.push_back(std::move(topic));
        }
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
            setup.interval = world_.between(10ms, 150ms);
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
        if (random.chance(300'000)) {
            forger_ =
                std::make_unique<Forger>(client_, places_, static_cast<int32_t>(machines_.size()));
        }
        if (random.chance(300'000)) {
            make_purger();
        }
        if (has_kind(plan_, PlannedFault::Kind::flap_back)) {
            // A leader alone takes what asks for no other's confirmation.
            Producer::Setup setup;
            setup.client = client_;
            setup.partitions = places_;
            setup.is_idempotent = false;
            setup.acks = 1;
            setup.batches = static_cast<uint32_t>(40 + random.below(60));
            setup.interval = world_.between(30ms, 100ms);
            producers_.push_back(std::make_unique<Producer>(std::move(setup)));
        }
        const uint64_t readers = 1 + random.below(2);
        for (uint64_t i = 0; i < readers; i++) {
            readers_.push_back(std::make_unique<Reader>(client_, places_, false));
        }
    }

    // Of some partitions only: what is deleted cannot be found wrong any more.
    void make_purger() {
        std::vector<PartitionPlace> purged;
        std::copy_if(places_.begin(), places_.end(), std::back_inserter(purged),
                     [&](const PartitionPlace&) { return world_.chance_percent(50); });
        purger_ = std::make_unique<Purger>(client_, std::move(purged));
    }

    void start_clients() {
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
        if (forger_) {
            forger_->start();
        }
        if (purger_) {
            purger_->start();
        }
        coordination_->start();
    }

    // Logs that a fault took offline come back with a restart.
    void end_faults() {
        network_.heal_links();
        network_.set_cut_percent(0);
        store_.heal();
        for (const auto& machine : machines_) {
            machine->heal();
        }
        wait_for_replaced();
        for (const auto& machine : machines_) {
            if (machine->device().has_failed_sync() || world_.chance_percent(30)) {
                machine->lose_power();
            }
        }
        operator_->finish();
        coordination_->finish();
    }

    // Until it is back its session may go on, and whoever of the others goes leaves it as the only
    // member of an ISR: that is a last copy lost, and nobody may lead again.
    void wait_for_replaced() {
        world_.run_until(world_.now() + kRecoverMax, [&] { return faults_->may_anybody_go(); });
    }

    // Where min.insync.replicas is 2, some other replica has all that is committed, in the ISR or
    // in the ELR, whatever comes; and in one replica of a partition only.
    bool rot(Machine& machine) {
        std::vector<RotCandidate> candidates;
        const metadata::ImageRef now = image();
        for (const PartitionPlace& place : places_) {
            const metadata::TopicImage* const topic = now->topic(place.topic);
            if (topic != nullptr && topic->effective.min_insync_replicas >= 2 &&
                !checker_.may_be_rotten(place.number)) {
                candidates.push_back({place.topic + "-" + std::to_string(place.index),
                                      {topic->id, PartitionIndex(place.index)},
                                      place.number});
            }
        }
        const std::optional<uint16_t> rotten =
            flip_stored_bit(world_, machine.device(), machine.log_dirs().front(), candidates);
        if (rotten) {
            checker_.on_rot(*rotten);
        }
        return rotten.has_value();
    }

    // What was synced is there for good, whatever else goes wrong. Brokers heal what is not, so no
    // client would see it.
    void on_damage(std::string_view why) {
        const bool may_be =
            std::any_of(places_.begin(), places_.end(), [&](const PartitionPlace& place) {
                return checker_.may_be_rotten(place.number) &&
                       why.find(place.topic + "-" + std::to_string(place.index)) !=
                           std::string_view::npos;
            });
        if (!may_be) {
            world_.violate("damage where no bit flipped: " + std::string(why));
        }
    }

    /// See ClusterFaults::Setup.
    [[nodiscard]] BrokerId leader_of(uint32_t number) const {
        const metadata::ImageRef now = image();
        std::vector<BrokerId> leaders;
        for (const PartitionPlace& place : places_) {
            const metadata::TopicImage* const topic = now->topic(place.topic);
            if (topic != nullptr && topic->effective.min_insync_replicas >= 2) {
                leaders.push_back(topic->partitions[static_cast<size_t>(place.index)].leader);
            }
        }
        return leaders.empty() ? kNoBroker : leaders[number % leaders.size()];
    }

    [[nodiscard]] bool is_latest_epoch(const std::string& name, int32_t index,
                                       int32_t epoch) const {
        const metadata::ImageRef now = image();
        const metadata::TopicImage* const topic = now->topic(name);
        return topic != nullptr &&
               topic->partitions[static_cast<size_t>(index)].leader_epoch.value() == epoch;
    }

    // ---- what must be ---------------------------------------------------------------------------

    [[nodiscard]] bool all_serve() const {
        return std::all_of(machines_.begin(), machines_.end(),
                           [](const auto& machine) { return machine->is_serving(); });
    }

    /// ... and has a session. Who lost it when the store was away stands in the ISRs until the
    /// store finds that it is over.
    [[nodiscard]] bool all_live() const {
        return all_serve() &&
               std::all_of(machines_.begin(), machines_.end(), [this](const auto& machine) {
                   return store_.lease_until(machine->host()) > world_.now();
               });
    }

    [[nodiscard]] std::string last_outcomes() const {
        std::string text;
        for (size_t i = 0; i < machines_.size(); i++) {
            if (!machines_[i]->is_serving()) {
                text += "; broker " + std::to_string(i + 1) + " serves not";
                if (!machines_[i]->last_outcome()) {
                    text += ": " + to_string(machines_[i]->last_outcome().error());
                }
            }
        }
        return text;
    }

    /// What the store says now.
    metadata::ImageRef image() const {
        if (!image_ || image_->revision != store_.revision()) {
            metadata::Replay replay(replay_config_);
            Result<metadata::Replay::Step> step = replay.load(store_.snapshot());
            QT_ASSERT(step.has_value());
            image_ = step->image;
        }
        return image_;
    }

    /// Empty: every partition has a leader and all its replicas in the ISR.
    [[nodiscard]] std::string not_in_sync() const {
        std::string text;
        const metadata::ImageRef now = image();
        for (const auto& [name, topic] : now->topics_by_name) {
            for (size_t i = 0; i < topic->partitions.size(); i++) {
                const metadata::PartitionImage& partition = topic->partitions[i];
                if (partition.isr.size() != partition.replicas.size() ||
                    partition.leader == kNoBroker) {
                    text += " " + name + "-" + std::to_string(i) + " (leader " +
                            std::to_string(partition.leader.value()) + ", " +
                            std::to_string(partition.isr.size()) + " of " +
                            std::to_string(partition.replicas.size()) + " in sync)";
                }
            }
        }
        return text;
    }
    [[nodiscard]] bool is_isr_full() const { return not_in_sync().empty(); }

    /// Who starts again is a member until the controller hears of it, takes it out of the ISRs, and
    /// it joins them again: each partition was written since.
    [[nodiscard]] bool no_member_is_to_leave() const {
        const metadata::ImageRef now = image();
        for (const auto& [name, topic] : now->topics_by_name) {
            for (const metadata::PartitionImage& partition : topic->partitions) {
                const auto is_older = [&](BrokerId id) {
                    const metadata::BrokerImage* broker = now->find_broker(id);
                    return broker != nullptr && partition.mod_revision < broker->epoch;
                };
                if (partition.replicas.size() > 1 &&
                    std::any_of(partition.isr.begin(), partition.isr.end(), is_older)) {
                    return false;
                }
            }
        }
        return true;
    }

    /// ... but for that broker, which is a member of none or of some and leads none.
    [[nodiscard]] bool is_settled_but(BrokerId broker) const {
        const metadata::ImageRef now = image();
        for (const auto& [name, topic] : now->topics_by_name) {
            for (const metadata::PartitionImage& partition : topic->partitions) {
                const auto is_missing = [&](BrokerId id) {
                    return id != broker && !metadata::contains(partition.isr, id);
                };
                if (partition.leader == kNoBroker || partition.leader == broker ||
                    std::any_of(partition.replicas.begin(), partition.replicas.end(), is_missing)) {
                    return false;
                }
            }
        }
        return all_live() && no_member_is_to_leave();
    }

    /// No partition has one replica only.
    [[nodiscard]] bool is_replicated() const {
        const metadata::ImageRef now = image();
        for (const auto& [name, topic] : now->topics_by_name) {
            for (const metadata::PartitionImage& partition : topic->partitions) {
                if (partition.replicas.size() < 2) {
                    return false;
                }
            }
        }
        return true;
    }

    /// All clients are done, every broker serves and every ISR is full.
    bool recover(const char* when) {
        if (purger_) {
            purger_->start();
        }
        const bool served = world_.run_until(world_.now() + kRecoverMax, [&] {
            return operator_->is_done() && coordination_->is_done() &&
                   (!library_producer_ || library_producer_->is_done()) &&
                   std::all_of(producers_.begin(), producers_.end(),
                               [](const auto& producer) { return producer->is_done(); });
        });
        if (!served) {
            std::string text = "not all is served again " + std::to_string(kRecoverMax / 1s) +
                               " s " + when + ":" + (operator_->is_done() ? "" : " operator");
            for (const auto& producer : producers_) {
                text += producer->left();
            }
            text += library_producer_ && !library_producer_->is_done() ? " library producer" : "";
            world_.violate(text + " " + coordination_->describe() + last_outcomes() +
                           not_in_sync());
            return false;
        }
        if (!world_.run_until(world_.now() + kIsrMax,
                              [&] { return all_serve() && is_isr_full(); })) {
            world_.violate("not all replicas are in sync " + std::to_string(kIsrMax / 1s) + " s " +
                           when + ":" + not_in_sync() + last_outcomes());
            return false;
        }
        if (purger_) {
            purger_->stop();
        }
        return true;
    }

    void audit(const char* when) {
        if (world_.violation()) {
            return;
        }
        audits_.push_back(std::make_unique<Reader>(client_, places_, true));
        Reader& reader = *audits_.back();
        reader.start();
        coordination_->start_audit();
        if (!world_.run_until(world_.now() + kRecoverMax, [&] {
                return reader.is_done() && coordination_->audit_left().empty();
            })) {
            world_.violate(std::string("not all could be read ") + when + ":" + reader.left() +
                           coordination_->audit_left() + last_outcomes() + not_in_sync());
        }
        reader.stop();
        coordination_->stop_audit();
        compare(when);
    }

    /// Everybody knows which epochs are over by now.
    void forge_epochs() {
        constexpr Duration kHeardMax = 1s; // a change of the store is told 0.8 s late at most
        if (forger_ == nullptr || world_.violation()) {
            return;
        }
        const metadata::ImageRef known = image();
        world_.run_until(world_.now() + kHeardMax, [] { return false; });
        forger_->name_old_epochs(known, [this] { return image(); });
        world_.run_until(world_.now() + kHeardMax, [] { return false; });
        forger_->name_old_epochs(nullptr, {});
    }

    // The followers may be a round behind.
    void compare(const char* when) {
        std::optional<std::string> wrong;
        const bool same = world_.run_until(world_.now() + kIsrMax, [&] {
            if (world_.now() < next_compare_) {
                return false;
            }
            next_compare_ = world_.now() + 500ms;
            wrong = compare_all();
            return !wrong;
        });
        if (!same && wrong) {
            world_.violate(*wrong + " " + when);
        }
    }

    std::optional<std::string> compare_all() const {
        const metadata::ImageRef now = image();
        for (const PartitionPlace& place : places_) {
            const metadata::TopicImage* const topic = now->topic(place.topic);
            QT_ASSERT(topic != nullptr);
            const auto& partition = topic->partitions[static_cast<size_t>(place.index)];
            AuditedLog expected;
            std::vector<ReplicaDisk> disks;
            for (const BrokerId id : partition.replicas) {
                if (id == partition.leader) {
                    expected.leader = disks.size();
                }
                disks.push_back({"broker " + std::to_string(id.value()),
                                 &machines_[static_cast<size_t>(id.value() - 1)]->device()});
            }
            const Checker::Known known = checker_.known(place.number);
            expected.start_min = known.log_start;
            expected.high_watermark = known.high_watermark;
            expected.may_start_at = [&](int64_t offset) {
                return checker_.may_start_at(place.number, offset);
            };
            std::optional<std::string> wrong =
                compare_replicas(place.topic + "-" + std::to_string(place.index), disks, expected);
            if (wrong) {
                return wrong;
            }
        }
        return std::nullopt;
    }

    World world_;
    Network network_;
    StoreTruth store_;
    Checker checker_;
    RestartWatch restart_watch_;
    ClusterRunOptions options_;
    std::string setup_text_;
    Duration session_timeout_{};
    uint16_t replication_cap_ = 3;
    std::vector<std::unique_ptr<Machine>> machines_;
    std::unique_ptr<Directory> directory_;
    Client client_;
    std::unique_ptr<Coordination> coordination_;
    std::vector<Operator::Topic> topics_;
    std::vector<PartitionPlace> places_;
    std::unique_ptr<Operator> operator_;
    std::vector<std::unique_ptr<Producer>> producers_;
    std::unique_ptr<LibraryProducer> library_producer_; // in most seeds
    std::unique_ptr<LibraryConsumer> library_consumer_; // may be absent
    std::unique_ptr<Forger> forger_;                    // may be absent
    std::unique_ptr<Purger> purger_;                    // may be absent
    std::vector<std::unique_ptr<Reader>> readers_;
    std::vector<std::unique_ptr<Reader>> audits_;
    Duration horizon_{};
    FaultPlan plan_;
    std::unique_ptr<ClusterFaults> faults_;
    std::unique_ptr<MemberAudit> member_audit_;
    config::BrokerConfig replay_config_;
    mutable metadata::ImageRef image_; // of the store, when it was looked at last
    MonoTime next_compare_{};
};

} // namespace

ClusterRunResult run_cluster_seed(uint64_t seed, const ClusterRunOptions& options) {
    ClusterScenario scenario(seed, options);
    scenario.run();
    return scenario.result();
}

ClusterRunResult describe_cluster_seed(uint64_t seed) {
    return ClusterScenario(seed, {}).result();
}

} // namespace qtool::sim
