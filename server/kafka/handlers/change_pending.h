// ChangePending: a pending request that runs one metadata operation and answers when it is
// finished. Base of the admin handlers. Lives on the core of the connection.
#pragma once

#include "server/kafka/context.h"
#include "server/kafka/error_map.h"

#include <algorithm>
#include <utility>

namespace qtool::kafka {

// What a client may ask us to wait for a metadata change, whatever its timeout_ms says. Kafka's
// clients send 30 to 60 s; less than a second would time out on a busy disk without telling why.
inline constexpr int32_t kChangeTimeoutMinMs = 1000;
inline constexpr int32_t kChangeTimeoutMaxMs = 5 * 60 * 1000;

template <class Operation>
class ChangePending : public request::Pending {
public:
    ChangePending(const Context& context, Operation operation, int32_t timeout_ms)
        : operation_(std::move(operation)),
          head_(context.head),
          chunk_(context.chunk),
          timeout_ms_(std::clamp(timeout_ms, kChangeTimeoutMinMs, kChangeTimeoutMaxMs)) {}

    void start(Token self, request::Services& services) final {
        self_ = self;
        services.change(self, operation_, services.now() + std::chrono::milliseconds(timeout_ms_));
    }

    void on_changed(request::Services& services) final {
        services.finish(self_, answer(services).pieces);
    }

protected:
    /// The operation is finished: its results say what happened.
    virtual Answer answer(request::Services& services) = 0;

    [[nodiscard]] const ReplyHead& head() const { return head_; }

    Operation operation_;

private:
    ReplyHead head_;
    ChunkRef chunk_; // names in the decoded request are views of it
    int32_t timeout_ms_;
    Token self_;
};

/// Sets error_code and error_message of a per-item result; null message on success.
template <class Item>
void fill_error(const Error* error, Item& out) {
    out.error_message.reset();
    if (error != nullptr) {
        out.error_code = error_code(error->code);
        out.error_message = error->detail;
    }
}

} // namespace qtool::kafka
