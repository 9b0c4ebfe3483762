// The APIs this broker serves: what ApiVersions advertises and dispatch accepts. One row an API; an
// API that is not here closes the connection, as Kafka does.
#pragma once

#include "server/kafka/context.h"

#include <cstdint>
#include <span>

namespace qtool::kafka {

struct ApiRow {
    int16_t key = 0;
    int16_t version_min = 0;    // lowest accepted
    int16_t version_max = 0;    // highest accepted
    int16_t advertised_min = 0; // what ApiVersions says; lower than version_min for Produce only
    Handler handler = nullptr;
};

/// Sorted by key.
std::span<const ApiRow> api_table();

/// nullptr when the key is not served.
const ApiRow* find_api(int16_t key);

/// "Produce", for metrics; empty when the key is not served.
std::string_view api_name(size_t key);

} // namespace qtool::kafka
