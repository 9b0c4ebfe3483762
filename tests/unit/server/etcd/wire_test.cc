// Proves what is read of etcd's answers: the forms that 3.4 to 3.6 send, and what none of them may
// send.
#include "server/etcd/wire.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::etcd;

TEST_CASE("etcd wire: a transaction's request and answers, as etcd 3.4 has them") {
    Txn txn;
    txn.compares = {{"s0", Revision{0}}};
    txn.success = {{Operation::Kind::put, "s0", "v", 77, {}},
                   {Operation::Kind::erase, "zz", {}, 0, {}}};
    txn.failure = {{Operation::Kind::read, "s0", {}, 0, {}}};
    CHECK(encode_txn(txn) ==
          R"({"compare":[{"key":"czA=","mod_revision":"0","target":"MOD"}],)"
          R"("failure":[{"request_range":{"key":"czA="}}],)"
          R"("success":[{"request_put":{"key":"czA=","lease":"77","value":"dg=="}},)"
          R"({"request_delete_range":{"key":"eno="}}]})");

    const Answer applied =
        decode_answer(
            R"({"header":{"cluster_id":"324952591200643719","member_id":"3319814642761637952",)"
            R"("revision":"2","raft_term":"2"},"succeeded":true,"responses":[{"response_put":)"
            R"({"header":{"revision":"2"}}}]})")
            .value();
    CHECK(applied.succeeded);
    CHECK(applied.header.cluster_id == 324952591200643719U);
    CHECK(applied.header.revision == Revision(2));
    const Answer refused =
        decode_answer(
            R"({"header":{"cluster_id":"3","revision":"2"},"responses":[{"response_range":)"
            R"({"header":{"revision":"2"},"kvs":[{"key":"czA=","create_revision":"2",)"
            R"("mod_revision":"2","version":"1","value":"dg=="}],"count":"1"}}]})")
            .value();
    CHECK_FALSE(refused.succeeded);
    REQUIRE(refused.key_values.size() == 1);
    CHECK(refused.key_values[0].value == "v");
    CHECK(refused.key_values[0].mod_revision == Revision(2));
}

TEST_CASE("etcd wire: a watch's lines") {
    const WatchAnswer event =
        decode_watch(
            R"({"result":{"header":{"cluster_id":"3","revision":"5"},"fragment":true,"events":[)"
            R"({"kv":{"key":"czA=","mod_revision":"4","value":"dg==","lease":"9"}},)"
            R"({"type":"DELETE","kv":{"key":"czE=","mod_revision":"5"}}]}})")
            .value();
    CHECK(event.is_fragment);
    REQUIRE(event.events.size() == 2);
    CHECK(event.events[0].key_value.lease == 9);
    CHECK_FALSE(event.events[0].is_delete);
    CHECK(event.events[1].is_delete);
    CHECK(event.events[1].key_value.key == "s1");
    const WatchAnswer gone =
        decode_watch(R"({"result":{"header":{},"canceled":true,"compact_revision":"8"}})").value();
    CHECK(gone.is_canceled);
    CHECK(gone.compact_revision == Revision(8));
    const WatchAnswer error =
        decode_watch(R"({"error":{"grpc_code":14,"http_code":503,"message":"no leader"}})").value();
    CHECK(error.is_canceled);
    CHECK(error.reason == "no leader");
}

TEST_CASE("etcd wire: what is no answer of etcd's is malformed, not believed") {
    for (const char* body :
         {"", "[]", "<html>", R"({"header":{"revision":"x"}})", R"({"header":{"revision":true}})",
          R"({"kvs":{}})", R"({"kvs":[{"key":"*"}]})", R"({"responses":7})",
          R"({"succeeded":"yes"})", R"({"header":{"revision":"99999999999999999999"}})"}) {
        CAPTURE(body);
        CHECK_FALSE(decode_answer(body));
    }
    for (const char* line :
         {"", "{}", R"({"result":{"events":[{}]}})", R"({"result":{"events":1}})"}) {
        CAPTURE(line);
        CHECK_FALSE(decode_watch(line));
    }
}

TEST_CASE("etcd wire: what errors mean") {
    struct Case {
        const char* body;
        Fault fault;
        Code code;
    };
    for (const Case& each : {
             Case{R"({"message":"etcdserver: request timed out","code":14})", Fault::unavailable,
                  Code::store_unavailable},
             Case{R"({"message":"etcdserver: mvcc: database space exceeded","code":8})",
                  Fault::refused, Code::storage_full},
             Case{R"({"message":"etcdserver: too many requests","code":8})", Fault::unavailable,
                  Code::store_unavailable},
             Case{R"({"message":"etcdserver: too many operations in txn request","code":3})",
                  Fault::refused, Code::too_large},
             Case{R"({"error":"etcdserver: invalid auth token","code":16})", Fault::token,
                  Code::not_authorized},
             Case{R"({"message":"etcdserver: permission denied","code":7})", Fault::refused,
                  Code::not_authorized},
             Case{R"({"message":"etcdserver: requested lease not found","code":5})", Fault::refused,
                  Code::store_unavailable},
             Case{"Not Found\n", Fault::unavailable, Code::store_unavailable},
         }) {
        CAPTURE(each.body);
        const Refusal refusal = decode_refusal(400, each.body);
        CHECK(refusal.fault == each.fault);
        CHECK(refusal.error.code == each.code);
    }
}

TEST_CASE("etcd wire: versions") {
    CHECK(decode_version(R"({"etcdserver":"3.4.23","etcdcluster":"3.4.0"})").value() == "3.4.23");
    CHECK_FALSE(decode_version("<html>"));
    for (const char* good : {"3.4.0", "3.6.1", "4.0.0", "3.10.2"}) {
        CHECK(check_version(good));
    }
    for (const char* old : {"3.3.25", "2.3.8", "x", ""}) {
        CHECK(check_version(old).error().code == Code::unsupported_version);
    }
}
