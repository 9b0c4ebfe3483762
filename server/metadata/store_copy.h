// StoreCopy: moves what one metadata store holds into another one that is empty, key by key and
// value by value. While it is under way the target holds the key `migrating`, of no family a broker
// knows, so that no broker starts on half of the truth; a copy that was interrupted goes on when it
// is run again. Sans-IO; lives where the target store does.
//
//   loading -> marking -> copying ... -> finishing -> verifying -> done
#pragma once

#include "lib/base/result.h"
#include "server/port/metadata_store.h"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace qtool::metadata {

class StoreCopy final : public port::MetadataStoreEvents {
public:
    /// Keys of one transaction, where the target takes more.
    static constexpr size_t kChunkWritesMax = 100;

    /// `source`: everything, of a store that nobody writes. `target` must outlive this.
    StoreCopy(port::StoreSnapshot source, port::MetadataStore& target)
        : source_(std::move(source)),
          target_(target) {}

    void start();
    /// Keys copied, once it is done. Errors: invalid_config (the target holds something, or the
    /// source has no cluster), internal (the target holds something else than was written), those
    /// of the target.
    [[nodiscard]] const std::optional<Result<size_t>>& result() const { return result_; }

    void on_store_loaded(Result<port::StoreSnapshot> snapshot) override;
    void on_store_committed(Token token, Result<Revision> revision) override;
    void on_store_reloaded(port::StoreSnapshot) override {}
    void on_store_changed(const port::StoreChange&) override {}
    void on_session_renewed(MonoTime) override {}
    void on_session_lost() override {}
    void on_session_closed() override {}

private:
    enum class Life : uint8_t { loading, marking, copying, finishing, verifying, done };

    void plan(const port::StoreSnapshot& target);
    void send_chunk();
    void verify(const port::StoreSnapshot& target);
    void end(Result<size_t> result);

    port::StoreSnapshot source_;
    port::MetadataStore& target_;
    Life life_ = Life::loading;
    port::StoreWrite cluster_; // written last: with it the target is a cluster
    std::vector<port::StoreWrite> writes_;
    size_t written_ = 0;
    Revision mark_; // of the key `migrating`; guards every transaction
    std::optional<Result<size_t>> result_;
};

} // namespace qtool::metadata
