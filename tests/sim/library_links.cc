#include "tests/sim/library_links.h"

#include <algorithm>

namespace qtool::sim {

config::ClientConfig library_config(const Client& client) {
    config::ClientConfig config;
    config.bootstrap_servers = {{"127.0.0.1", kBrokerPort}};
    if (client.directory != nullptr) {
        config.bootstrap_servers.clear();
        for (const std::string& address : client.directory->addresses()) {
            config.bootstrap_servers.push_back({address, kBrokerPort});
        }
        // What a silent broker costs, and how long an old leader is believed in.
        config.request_timeout_ms = 5000;
        config.metadata_max_age_ms = 2000;
    }
    return config;
}

void LibraryLinks::carry_out(client::Outbox& out) {
    for (const client::LinkId link : out.closes) {
        if (const auto at = streams_.find(link); at != streams_.end()) {
            client_.network->close(at->second);
            links_.erase(at->second);
            streams_.erase(at);
        }
    }
    for (const client::Outbox::Connect& connect : out.connects) {
        const StreamId stream = client_.network->connect(this, connect.host, connect.port);
        links_[stream] = connect.link;
        streams_[connect.link] = stream;
        world_.after(world_.between(20us, 1ms), [this, link = connect.link] {
            if (streams_.count(link) > 0) {
                client::Outbox more;
                cluster_.on_connected(link, world_.now(), more);
                carry_out(more);
                on_news_();
            }
        });
    }
    for (const client::Outbox::Write& write : out.writes) {
        if (const auto at = streams_.find(write.link); at != streams_.end()) {
            for (const std::vector<std::byte>& buffer : write.buffers) {
                client_.network->send(at->second, buffer);
            }
        }
    }
}

void LibraryLinks::set_alarm(MonoTime due) {
    const uint64_t alarm = ++alarm_;
    if (due == kMonoNever) {
        return;
    }
    world_.at(std::max(due, world_.now() + 10us), [this, alarm] {
        if (alarm == alarm_) {
            on_news_();
        }
    });
}

void LibraryLinks::on_bytes(StreamId stream, ByteView bytes) {
    while (!bytes.empty()) {
        const auto at = links_.find(stream);
        if (at == links_.end()) {
            return;
        }
        const client::LinkId link = at->second;
        const ByteSpan space = cluster_.receive_space(link);
        const size_t size = std::min(space.size(), bytes.size());
        std::copy_n(bytes.begin(), size, space.begin());
        bytes = bytes.subspan(size);
        client::Outbox out;
        cluster_.on_received(link, size, world_.now(), out);
        carry_out(out);
    }
    on_news_();
}

void LibraryLinks::on_end(StreamId stream) {
    if (const auto at = links_.find(stream); at != links_.end()) {
        const client::LinkId link = at->second;
        links_.erase(at);
        streams_.erase(link);
        cluster_.on_closed(link, Error(Code::connection_failed, "the stream ended"), world_.now());
        on_news_();
    }
}

} // namespace qtool::sim
