// What cores send each other. One struct a kind; the receiver switches on `kind`.
#pragma once

#include "lib/base/ids.h"
#include "server/broker/connection_table.h"
#include "server/metadata/image.h"
#include "server/peer/call.h"
#include "server/port/mailbox.h"
#include "server/port/metadata_store.h"
#include "server/port/net.h"
#include "server/replica/requests.h"
#include "server/storage/log_dirs.h"

#include <memory>
#include <utility>
#include <vector>

namespace qtool::broker {

enum class MailKind : uint8_t {
    partition_requests, // asking core -> owning core
    partition_replies,  // owning core -> asking core: answers and wakes
    cancel_watches,     // asking core -> owning core
    connection,         // core -> the core where that connection is better off
    image,              // metadata core -> every core
    image_applied,      // core -> metadata core
    commit,             // core -> metadata core
    committed,          // metadata core -> the core that asked
    listening,          // core 0 -> metadata core
    peer_refused,       // core -> metadata core: a broker's process is gone
    serve,              // metadata core -> every core: all cores have the first image
    drain,              // metadata core -> every core: no new requests, finish what is under way
    drained,            // core -> metadata core
    close,              // metadata core -> every core, when all have drained
    closed,             // core -> metadata core
};

struct BrokerMail : port::Mail {
    BrokerMail(MailKind k, CoreId f) : kind(k), from(f) {}
    MailKind kind;
    CoreId from;
    MonoTime posted_at{}; // of requests, replies, cancels: for the time in the mailbox
};

struct PartitionRequestsMail : BrokerMail {
    explicit PartitionRequestsMail(CoreId f) : BrokerMail(MailKind::partition_requests, f) {}
    std::vector<replica::PartitionRequest> requests;
};

struct PartitionRepliesMail : BrokerMail {
    explicit PartitionRepliesMail(CoreId f) : BrokerMail(MailKind::partition_replies, f) {}
    std::vector<replica::PartitionReply> replies;
    std::vector<replica::PartitionWake> wakes;
};

struct CancelWatchesMail : BrokerMail {
    explicit CancelWatchesMail(CoreId f) : BrokerMail(MailKind::cancel_watches, f) {}
    struct Item {
        Token request;
        PartitionKey partition;
    };
    std::vector<Item> items;
};

struct ConnectionMail : BrokerMail {
    ConnectionMail(CoreId f, std::unique_ptr<port::DetachedConnection> s,
                   std::unique_ptr<ConnectionSlot> c)
        : BrokerMail(MailKind::connection, f),
          socket(std::move(s)),
          connection(std::move(c)) {}
    std::unique_ptr<port::DetachedConnection> socket;
    std::unique_ptr<ConnectionSlot> connection; // idle; received bytes may wait in it
};

struct ImageMail : BrokerMail {
    explicit ImageMail(CoreId f) : BrokerMail(MailKind::image, f) {}
    metadata::ImageRef image;
    metadata::Delta delta;
};

struct ImageAppliedMail : BrokerMail {
    ImageAppliedMail(CoreId f, Revision r) : BrokerMail(MailKind::image_applied, f), revision(r) {}
    Revision revision;
};

struct CommitMail : BrokerMail {
    explicit CommitMail(CoreId f) : BrokerMail(MailKind::commit, f) {}
    Token change; // of the asking core
    port::StoreTransaction transaction;
};

struct CommittedMail : BrokerMail {
    explicit CommittedMail(CoreId f) : BrokerMail(MailKind::committed, f) {}
    Token change;
    /// Success means: committed, and applied by every core of this broker.
    Result<Revision> result = Revision{0};
};

struct ListeningMail : BrokerMail {
    explicit ListeningMail(CoreId f) : BrokerMail(MailKind::listening, f) {}
    /// Bound addresses in the order of the configuration, or why one could not be bound.
    Result<std::vector<port::SocketAddress>> listeners;
    std::vector<port::SocketAddress> admin_listeners;
};

struct PeerRefusedMail : BrokerMail {
    PeerRefusedMail(CoreId f, peer::Refused r)
        : BrokerMail(MailKind::peer_refused, f),
          refused(r) {}
    peer::Refused refused;
};

struct ServeMail : BrokerMail {
    explicit ServeMail(CoreId f) : BrokerMail(MailKind::serve, f) {}
};

struct DrainMail : BrokerMail {
    explicit DrainMail(CoreId f) : BrokerMail(MailKind::drain, f) {}
};

struct DrainedMail : BrokerMail {
    explicit DrainedMail(CoreId f) : BrokerMail(MailKind::drained, f) {}
};

struct CloseMail : BrokerMail {
    explicit CloseMail(CoreId f) : BrokerMail(MailKind::close, f) {}
};

struct ClosedMail : BrokerMail {
    explicit ClosedMail(CoreId f) : BrokerMail(MailKind::closed, f) {}
    std::vector<storage::LogDirs::Closed> dirs; // one a log directory
};

} // namespace qtool::broker
