#include "tests/sim/fault_plan.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

namespace qtool::sim {

namespace {

using Kind = PlannedFault::Kind;

constexpr size_t kFaultsMax = 10;
constexpr uint32_t kRotPerMillion = 400'000; // of seeds
constexpr uint32_t kFlapBackPerMillion = 200'000;
constexpr uint32_t kPowerAtCutPerMillion = 200'000;
constexpr uint32_t kZombiePerMillion = 250'000;
constexpr Duration kZombie = 2s; // how long clients reach whoever leads no more

struct KindText {
    std::string_view name;
    bool has_broker = true;
    bool has_other = false;
    bool has_length = false;
    bool has_amount = false;
};

KindText text_of(Kind kind) {
    switch (kind) {
    case Kind::kill:
        return {"kill"};
    case Kind::kill_within:
        return {"kill within disk operations", true, false, false, true};
    case Kind::power:
        return {"power loss"};
    case Kind::power_within:
        return {"power loss within disk operations", true, false, false, true};
    case Kind::power_many:
        return {"power loss of brokers by bits", false, false, false, true};
    case Kind::power_all:
        return {"power loss of all", false};
    case Kind::pause:
        return {"pause", true, false, true};
    case Kind::wipe:
        return {"disk wiped"};
    case Kind::backup:
        return {"old disk"};
    case Kind::clock:
        return {"clock jump"};
    case Kind::sync_error:
        return {"fdatasync fails"};
    case Kind::full:
        return {"disk full", true, false, true};
    case Kind::slow:
        return {"disk slow", true, false, true};
    case Kind::stuck:
        return {"disk stuck", true, false, true};
    case Kind::cut_one_way:
        return {"cannot send to", true, true, true};
    case Kind::cut:
        return {"cut off from", true, true, true};
    case Kind::isolate:
        return {"cut off from all brokers", true, false, true};
    case Kind::isolate_all:
        return {"cut off from all", true, false, true};
    case Kind::split:
        return {"brokers split by bits", false, false, true, true};
    case Kind::clients_cut:
        return {"cut off from clients", true, false, true};
    case Kind::delay:
        return {"slow link to", true, true, true};
    case Kind::reset:
        return {"streams reset", false};
    case Kind::stall:
        return {"clients do not read", false, false, true};
    case Kind::store_cut:
        return {"cut off from the store", true, false, true};
    case Kind::store_down:
        return {"store down", false, false, true};
    case Kind::session_revoked:
        return {"a session revoked", false};
    case Kind::stop:
        return {"graceful stop"};
    case Kind::stop_kill:
        return {"graceful stop, killed"};
    case Kind::rolling:
        return {"rolling restart", false};
    case Kind::flap:
        return {"leaders flap", false};
    case Kind::rot:
        return {"restart, then a stored bit flips"};
    case Kind::flap_back:
        return {"leaders of a partition by number flap, back to one before", false, false, false,
                true};
    case Kind::power_at_cut:
        return {"restart with a tail of its own, power loss as that is cut", true, false, false,
                true};
    }
    return {"?"};
}

} // namespace

FaultPlan make_fault_plan(uint64_t seed, uint16_t brokers, Duration session_timeout,
                          Duration horizon) {
    Prng random(seed ^ 0xfa017fa017fa017full);
    const uint64_t kinds = random.next() | random.next(); // about three of four
    FaultPlan plan(random.below(kFaultsMax + 1));
    for (PlannedFault& fault : plan) {
        uint64_t kind = random.below(PlannedFault::kKindCount);
        while ((kinds >> kind & 1) == 0 && random.chance(900'000)) {
            kind = random.below(PlannedFault::kKindCount);
        }
        fault.kind = static_cast<Kind>(kind);
        fault.when = Duration(random.between(Duration(50ms).count(), horizon.count()));
        fault.broker = static_cast<uint16_t>(random.below(brokers));
        fault.other = static_cast<uint16_t>(
            brokers > 1 ? (fault.broker + 1 + random.below(brokers - 1U)) % brokers : 0);
        // Half of what lasts is over before a lease, half is not.
        fault.length =
            Duration(random.chance(500'000)
                         ? random.between(Duration(20ms).count(), session_timeout.count())
                         : random.between(session_timeout.count(), (3 * session_timeout).count()));
        fault.amount = static_cast<uint32_t>(1 + random.below(80));
    }
    for (uint64_t i = random.chance(kRotPerMillion) ? 1 + random.below(3) : 0; i > 0; i--) {
        PlannedFault& rot = plan.emplace_back();
        rot.kind = Kind::rot;
        rot.when = Duration(random.between(Duration(1s).count(), horizon.count()));
        rot.broker = static_cast<uint16_t>(random.below(brokers));
    }
    const auto add = [&](Kind kind) {
        PlannedFault& fault = plan.emplace_back();
        fault.kind = kind;
        fault.when = Duration(random.between(Duration(500ms).count(), horizon.count()));
        fault.broker = static_cast<uint16_t>(random.below(brokers));
        fault.amount = static_cast<uint32_t>(1 + random.below(80));
    };
    if (random.chance(kFlapBackPerMillion)) {
        add(Kind::flap_back);
    }
    if (random.chance(kPowerAtCutPerMillion)) {
        add(Kind::power_at_cut);
    }
    if (random.chance(kZombiePerMillion)) {
        add(Kind::store_cut);
        plan.back().length = session_timeout + kZombie;
    }
    std::sort(plan.begin(), plan.end(),
              [](const PlannedFault& a, const PlannedFault& b) { return a.when < b.when; });
    return plan;
}

bool has_kind(const FaultPlan& plan, PlannedFault::Kind kind) {
    return std::any_of(plan.begin(), plan.end(),
                       [&](const PlannedFault& fault) { return fault.kind == kind; });
}

std::string to_text(const PlannedFault& fault) {
    const KindText kind = text_of(fault.kind);
    std::array<char, 32> time{};
    std::snprintf(time.data(), time.size(), "%7.3f s  ",
                  std::chrono::duration<double>(fault.when).count());
    std::string text = time.data();
    if (kind.has_broker) {
        text += "broker " + std::to_string(fault.broker + 1) + ": ";
    }
    text += kind.name;
    if (kind.has_other) {
        text += " broker " + std::to_string(fault.other + 1);
    }
    if (kind.has_amount) {
        text += " " + std::to_string(fault.amount);
    }
    if (kind.has_length) {
        text += ", for " + std::to_string(fault.length / 1ms) + " ms";
    }
    return text;
}

} // namespace qtool::sim
