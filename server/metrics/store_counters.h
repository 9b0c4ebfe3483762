// Counters of the metadata store of a cluster: written by the metadata core alone, read by
// whichever core serves /metrics.
#pragma once

#include "lib/base/counter.h"
#include "server/metrics/histogram.h"

namespace qtool::metrics {

struct StoreCounters {
    Counter requests;        // attempts, the login and the watch not among them
    Counter request_errors;  // attempts that had no answer, or were refused
    Counter request_retries; // attempts after the first of a request
    Histogram request_time;  // of attempts that were answered
    Counter member_changes;  // another member of the store is used, because one failed
    Counter watch_restarts;  // the watch was opened anew, from where it was
    Counter reloads;         // everything was read again: the changes in between are gone
    Counter commits;         // transactions that were applied
    Counter conflicts;       // ... that were not, because somebody else was first
};

} // namespace qtool::metrics
