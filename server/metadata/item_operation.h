// ItemOperation: an operation on several items, each with an outcome of its own.
#pragma once

#include "server/metadata/operation.h"

#include <optional>
#include <vector>

namespace qtool::metadata {

class ItemOperation : public Operation {
public:
    void finish(Result<void> result) override {
        if (!result) {
            fail_items(result.error(), 0);
        }
    }
    /// One for each item asked for, in that order; empty: success. Valid after finish.
    [[nodiscard]] const std::vector<std::optional<Error>>& results() const { return results_; }

protected:
    /// Of those from `first` on, the ones that were to be written.
    void fail_items(const Error& error, size_t first) {
        for (size_t i = first; i < results_.size(); i++) {
            if (!results_[i]) {
                results_[i] = error;
            }
        }
    }

    std::vector<std::optional<Error>> results_;
};

} // namespace qtool::metadata
