#include "tests/sim/sim_world.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <utility>

namespace qtool::sim {

namespace {

uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9fb21c651e98df25ull;
    return hash ^ (hash >> 32);
}

} // namespace

World::World(uint64_t seed) : random_(seed) {}

void World::at(MonoTime due, Action action) {
    QT_ASSERT(due >= now_);
    queue_.push_back(Event{due, sequence_++, std::move(action)});
    std::push_heap(queue_.begin(), queue_.end(), later);
}

bool World::step() {
    if (queue_.empty() || violation_) {
        return false;
    }
    std::pop_heap(queue_.begin(), queue_.end(), later);
    Event event = std::move(queue_.back());
    queue_.pop_back();
    now_ = event.due;
    events_++;
    event.action();
    return true;
}

bool World::run_until(MonoTime limit, const std::function<bool()>& done) {
    while (!violation_) {
        if (done()) {
            return true;
        }
        if (queue_.empty() || queue_.front().due > limit) {
            now_ = std::max(now_, limit);
            return done();
        }
        step();
    }
    return false;
}

void World::trace(std::string_view event, uint64_t a, uint64_t b) {
    hash_ = mix(hash_, static_cast<uint64_t>(now_.time_since_epoch().count()));
    for (const char c : event) {
        hash_ = mix(hash_, static_cast<uint64_t>(c));
    }
    hash_ = mix(mix(hash_, a), b);
    if (printing_) {
        std::fprintf(stderr, "%12.6f %.*s %" PRIu64 " %" PRIu64 "\n",
                     static_cast<double>(now_.time_since_epoch().count()) / 1e9,
                     static_cast<int>(event.size()), event.data(), a, b);
    }
}

void World::print(const std::string& line) const {
    if (printing_) {
        std::fprintf(stderr, "%12.6f %s\n",
                     static_cast<double>(now_.time_since_epoch().count()) / 1e9, line.c_str());
    }
}

void World::hit(Fault fault) {
    faults_[static_cast<size_t>(fault)]++;
    trace(kFaultNames[static_cast<size_t>(fault)]);
}

void World::violate(std::string what) {
    if (!violation_) {
        violation_ = std::move(what);
    }
}

} // namespace qtool::sim
