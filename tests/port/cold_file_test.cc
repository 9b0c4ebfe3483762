// Ranges of files that are not in the page cache: they are told from those that are, and what is
// sent of them arrives whole and in order, whoever closes meanwhile.
#include "server/uv/page_cache.h"
#include "tests/port/net_contract.h"
#include "tests/port/uv_port_world.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

namespace qtool::test {

namespace {

/// Drops the file from the page cache, where the file system can.
void make_cold(const port::FileRef& file) {
    REQUIRE(file->sync_blocking());
    ::posix_fadvise(static_cast<uv::UvFile&>(*file).fd(), 0, 0, POSIX_FADV_DONTNEED);
}

port::FileRef cold_file(PortWorld& world, const std::string& name, const std::string& text) {
    port::FileRef file = file_with(world, name, text);
    make_cold(file);
    return file;
}

/// Every kind of piece: what is behind a cold range must not overtake it.
std::vector<port::Piece> reply_of(const port::FileRef& first, const port::FileRef& second,
                                  uint64_t size) {
    std::vector<port::Piece> pieces;
    pieces.emplace_back(own_bytes("begin"));
    pieces.emplace_back(port::FileRange{first, 0, size});
    pieces.emplace_back(own_bytes("small"));
    pieces.emplace_back(port::FileRange{second, 3'000'001, 5'000});
    pieces.emplace_back(port::FileRange{second, 100, size / 2});
    pieces.emplace_back(port::FileRange{first, size - 7, 7});
    pieces.emplace_back(own_bytes("end"));
    return pieces;
}

std::string text_of(const std::string& first, const std::string& second, uint64_t size) {
    return "begin" + first.substr(0, size) + "small" + second.substr(3'000'001, 5'000) +
           second.substr(100, size / 2) + first.substr(size - 7, 7) + "end";
}

} // namespace

} // namespace qtool::test

using namespace qtool;
using namespace qtool::test;

TEST_CASE("page cache: what was dropped is not there until it is brought in") {
    UvPortWorld world(1);
    const std::string text = pattern(3 * MiB);
    const port::FileRef made = file_with(world, "f", text);
    auto& file = static_cast<uv::UvFile&>(*made);
    REQUIRE(uv::bring_into_page_cache(file, 0, text.size()));
    CHECK(uv::is_in_page_cache(file, 0, text.size()));
    CHECK(uv::bring_into_page_cache(file, 0, text.size()).value() == 0);
    make_cold(made);
    if (uv::is_in_page_cache(file, 0, text.size())) {
        MESSAGE("this file system keeps its files in memory");
        return;
    }
    std::vector<std::byte> bytes(10'000);
    CHECK_FALSE(uv::read_from_page_cache(file, bytes, 2 * MiB));
    CHECK(uv::bring_into_page_cache(file, 1 * MiB + 5, 1 * MiB).value() == 1 * MiB);
    CHECK(uv::is_in_page_cache(file, 1 * MiB + 5, 1 * MiB));
    CHECK_FALSE(uv::is_in_page_cache(file, 0, text.size()));
    REQUIRE(uv::read_from_page_cache(file, bytes, 1 * MiB + 77));
    CHECK(as_text(bytes) == text.substr(1 * MiB + 77, bytes.size()));
    // Beyond the end there is nothing to bring in.
    CHECK(uv::bring_into_page_cache(file, text.size() + 100, 1 * MiB).value() == 0);
    CHECK(uv::bring_into_page_cache(file, text.size() - 100, 1 * MiB));
    CHECK_FALSE(uv::read_from_page_cache(file, bytes, text.size() - 100));
    CHECK(uv::read_from_page_cache(file, ByteSpan(bytes).first(100), text.size() - 100));
}

TEST_CASE("uv net: ranges that are not in the page cache arrive whole, in order") {
    UvPortWorld world(1);
    const port::SocketAddress address = listen_on(world);
    const std::string first_text = pattern(8 * MiB, 1);
    const std::string second_text = pattern(5 * MiB, 2);
    const port::FileRef first = cold_file(world, "first", first_text);
    const port::FileRef second = cold_file(world, "second", second_text);
    std::vector<Conversation> talks;
    for (int i = 0; i < 5; i++) {
        talks.push_back(converse(world, address));
    }
    const uint64_t size = 7 * MiB + 123;
    world.on_core(0, [&] {
        for (const Conversation& talk : talks) {
            net_of(world).send(talk.token, reply_of(first, second, size));
        }
        net_of(world).close(talks[0].token); // before anything was read for it
    });
    // One is reset and one closed while theirs are under way.
    REQUIRE(world.wait_until([&] { return !talks[1].client->received().empty(); }));
    talks[1].client->reset();
    world.on_core(0, [&] { net_of(world).close(talks[2].token); });
    const std::string expected = text_of(first_text, second_text, size);
    for (const size_t i : {size_t{3}, size_t{4}}) {
        CHECK(world.wait_until(
            [&] { return talks[i].client->received().size() >= expected.size(); }));
        CHECK(talks[i].client->received() == expected);
    }
    // A second reply on the same streams, after all was dropped again; the stream ends behind it.
    make_cold(first);
    make_cold(second);
    world.on_core(0, [&] {
        net_of(world).send(talks[3].token, reply_of(second, first, 2 * MiB));
        net_of(world).close_when_sent(talks[3].token, 10'000);
    });
    CHECK(world.wait_until([&] { return talks[3].client->has_ended(); }));
    CHECK(talks[3].client->received() == expected + text_of(second_text, first_text, 2 * MiB));
    CHECK(world.violation() == "");
}

TEST_CASE("uv net: a cold file that is shorter or cannot be read breaks its connection only") {
    UvPortWorld world(1);
    TestCore& core = world.core(0);
    const port::SocketAddress address = listen_on(world);
    const std::string text = pattern(1 * MiB);
    const port::FileRef cold = cold_file(world, "f", text);
    const port::FileRef unreadable = // its first page is of no memory: EIO
        open_file(*core.ports().disk, "/proc/self/mem", port::OpenMode::read);
    const std::vector<port::FileRange> bad = {{cold, 1 * MiB - 100'000, 200'000},
                                              {cold, 1 * MiB - 100, 200},
                                              {unreadable, 0, 200'000},
                                              {unreadable, 0, 200}};
    Conversation good = converse(world, address);
    for (const port::FileRange& range : bad) {
        Conversation talk = converse(world, address);
        world.on_core(0, [&] { net_of(world).send(talk.token, one_piece(range)); });
        CHECK(world.wait_until([&] { return core.connections[talk.token].closed == 1; }));
    }
    world.on_core(0, [&] {
        net_of(world).send(good.token, one_piece(port::FileRange{cold, 0, 1 * MiB}));
    });
    CHECK(world.wait_until([&] { return good.client->received().size() == text.size(); }));
    CHECK(good.client->received() == text);
    CHECK(world.violation() == "");
}
