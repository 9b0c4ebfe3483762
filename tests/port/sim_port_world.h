// SimPortWorld: the simulated world for the disk and net contracts: tests/sim's device and network
// under cores of the test's own. (The simulator's mailbox and alarm are parts of its Process.)
#pragma once

#include "tests/port/port_world.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_net.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

namespace qtool::test {

class SimPortWorld final : public PortWorld {
public:
    static constexpr size_t kLargeSize = 1024 * 1024;

    explicit SimPortWorld(uint16_t data_core_count) {
        REQUIRE(device_.make_directory(directory()));
        server_.host = network_.add_host("127.0.0.1");
        server_.alive = alive_;
        server_.core_count = data_core_count;
        server_.deliver = [this](CoreId core, const std::function<void(port::CoreEvents&)>& call) {
            deliver(core.value(), call);
        };
        for (uint16_t i = 0; i <= data_core_count; i++) {
            cores_.push_back(std::make_unique<TestCore>(mutex_));
            ports_.push_back(std::make_unique<Ports>(*this, CoreId(i)));
            port::CorePorts ports;
            ports.id = CoreId(i);
            ports.clock = &ports_[i]->clock;
            ports.disk = &ports_[i]->disk;
            ports.net = &ports_[i]->net;
            cores_[i]->set_ports(ports);
        }
    }

    [[nodiscard]] std::string directory() override { return "/data"; }
    void on_core(size_t index, const std::function<void()>& action) override {
        cores_[index]->act(action);
        end_turn_soon(index);
    }
    bool wait_until(const std::function<bool()>& done) override {
        return done() || world_.run_until(world_.now() + 1h, done);
    }
    void wait_for(Duration duration) override {
        bool passed = false;
        world_.after(duration, [&] { passed = true; });
        world_.run_until(kMonoNever, [&] { return passed; });
    }
    std::unique_ptr<Client> connect(const port::SocketAddress& address) override {
        return std::make_unique<StreamClient>(*this, address);
    }
    void stop() override { *alive_ = false; }

private:
    class Clock final : public port::Clock {
    public:
        explicit Clock(const sim::World& world) : world_(world) {}
        [[nodiscard]] MonoTime mono() const override { return world_.now(); }
        [[nodiscard]] WallTime wall() const override { return WallTime{}; }

    private:
        const sim::World& world_;
    };
    struct Ports {
        Ports(SimPortWorld& world, CoreId core)
            : clock(world.world_),
              disk(
                  world.world_, world.device_, world.alive_,
                  [&world, core](Token token, Result<void> result) {
                      world.deliver(core.value(), [&](port::CoreEvents& events) {
                          events.on_synced(token, std::move(result));
                      });
                  },
                  [&world, core](Token token, Result<void> result) {
                      world.deliver(core.value(), [&](port::CoreEvents& events) {
                          events.on_read_in(token, std::move(result));
                      });
                  }),
              net(world.network_, world.server_, core) {}

        Clock clock;
        sim::SimDisk disk;
        sim::SimNet net;
    };
    class StreamClient final : public Client, private sim::StreamEvents {
    public:
        StreamClient(SimPortWorld& world, const port::SocketAddress& address)
            : network_(world.network_),
              stream_(network_.connect(this, address.host, address.port)) {}
        ~StreamClient() override { close(); }
        StreamClient(const StreamClient&) = delete;
        StreamClient& operator=(const StreamClient&) = delete;

        void send(std::string_view bytes) override { network_.send(stream_, as_bytes(bytes)); }
        // The network knows stalls of some length only: longer than any test looks, over by itself.
        void set_reading(bool on) override {
            if (!on) {
                network_.stall_clients(10s);
            }
        }
        void close() override { network_.close(stream_); }
        void reset() override { close(); }

    private:
        void on_bytes(sim::StreamId, ByteView bytes) override { received_ += as_text(bytes); }
        void on_end(sim::StreamId) override { has_ended_ = true; }

        sim::Network& network_;
        sim::StreamId stream_;
    };

    void deliver(size_t core, const std::function<void(port::CoreEvents&)>& call) {
        if (*alive_) {
            call(*cores_[core]);
            end_turn_soon(core);
        }
    }
    void end_turn_soon(size_t core) {
        world_.after(world_.between(0us, 30us), [this, core] {
            if (*alive_) {
                cores_[core]->on_turn_end();
            }
        });
    }

    sim::World world_{1};
    sim::Device device_{world_};
    sim::Network network_{world_};
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    sim::ServerSide server_;
    std::vector<std::unique_ptr<Ports>> ports_;
};

} // namespace qtool::test
