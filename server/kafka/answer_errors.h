// What of an answer is an error, for the counters: every error code in it, wherever it stands. One
// walk over the decoded response, chosen at compile time by the names of its fields, which are
// those of the schema; a field of a new name that holds codes needs a line in for_each_error.
#pragma once

#include "server/metrics/counters.h"

#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

namespace qtool::kafka {

template <class Message, class Visit>
void for_each_error(const Message& message, Visit&& visit);

template <class Element, class Visit>
void for_each_error_of([[maybe_unused]] const std::vector<Element>& list,
                       [[maybe_unused]] Visit&& visit) {
    if constexpr (std::is_class_v<Element>) {
        for (const Element& element : list) {
            for_each_error(element, visit);
        }
    }
}
template <class Element, class Visit>
void for_each_error_of(const std::optional<std::vector<Element>>& list, Visit&& visit) {
    if (list) {
        for_each_error_of(*list, visit);
    }
}

/// Calls visit(int16_t) for each error code that is not 0.
template <class Message, class Visit>
void for_each_error([[maybe_unused]] const Message& message, [[maybe_unused]] Visit&& visit) {
#define QT_ERROR_FIELD(name)                                                                       \
    if constexpr (requires { message.name; }) {                                                    \
        if (message.name != 0) {                                                                   \
            visit(message.name);                                                                   \
        }                                                                                          \
    }
#define QT_ERROR_LIST(name)                                                                        \
    if constexpr (                                                                                 \
        requires { message.name.size(); } || requires { message.name->size(); }) {                 \
        for_each_error_of(message.name, visit);                                                    \
    }
    QT_ERROR_FIELD(error_code)
    QT_ERROR_FIELD(partition_error_code)
    QT_ERROR_LIST(coordinators)
    QT_ERROR_LIST(entries)
    QT_ERROR_LIST(groups)
    QT_ERROR_LIST(markers)
    QT_ERROR_LIST(members)
    QT_ERROR_LIST(partition_responses)
    QT_ERROR_LIST(partitions)
    QT_ERROR_LIST(responses)
    QT_ERROR_LIST(results)
    QT_ERROR_LIST(results_by_topic_v3_and_below)
    QT_ERROR_LIST(results_by_transaction)
    QT_ERROR_LIST(results_by_partition)
    QT_ERROR_LIST(topic_results)
    QT_ERROR_LIST(topics)
    QT_ERROR_LIST(transaction_states)
#undef QT_ERROR_FIELD
#undef QT_ERROR_LIST
}

template <class Response>
void count_errors(metrics::ApiCounters& api, const Response& response) {
    bool failed = false;
    for_each_error(response, [&](int16_t code) {
        failed = true;
        api.add_error_code(code);
    });
    if (failed) {
        api.errors.add();
    }
}

} // namespace qtool::kafka
