#include "cli/commands/moves.h"

#include "cli/output/text.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>
#include <utility>

namespace qtool::cli {

namespace {

constexpr auto kLookTime = std::chrono::milliseconds(300);

using Place = std::pair<std::string, int32_t>; // topic, partition

std::string brokers(const std::vector<int32_t>& ids) {
    std::string text;
    for (const int32_t id : ids) {
        text.append(text.empty() ? "" : ",").append(std::to_string(id));
    }
    return text.empty() ? "-" : text;
}

// Asks for the next ones; false: one was refused, which is said.
bool begin_moves(Context& context, const std::vector<admin::ReplicaMove>& moves, size_t first,
                 size_t count, ExitCode& failure) {
    admin::AlterReassignmentsRequest request;
    for (size_t i = first; i < first + count; i++) {
        request.reassignments.push_back({moves[i].topic, moves[i].partition, moves[i].to});
    }
    const auto answer = context.admin().reassign(request);
    if (!answer) {
        failure = context.fail(answer.error());
        return false;
    }
    bool all_begun = true;
    for (const admin::ReassignmentResult& result : answer->results) {
        if (!result.error.empty()) {
            context.note("qtool: " + result.topic + "-" + std::to_string(result.partition) + ": " +
                         result.error + ": " + result.detail);
            all_begun = false;
        }
    }
    failure = ExitCode::failed;
    return all_begun;
}

} // namespace

std::string describe_plan(const admin::MovePlan& plan) {
    Table table({"TOPIC", "PARTITION", "FROM", "TO"});
    for (const admin::ReplicaMove& move : plan.moves) {
        table.add(
            {move.topic, std::to_string(move.partition), brokers(move.from), brokers(move.to)});
    }
    std::string out = table.to_text();
    for (const std::string& partition : plan.stuck) {
        append_for_terminal(
            out, partition + " cannot move: it has no leader, or no other broker is left for it");
        out.append("\n");
    }
    return out;
}

ExitCode carry_out(Context& context, const std::vector<admin::ReplicaMove>& moves, size_t at_once) {
    std::set<Place> under_way;
    size_t begun = 0;
    size_t done = 0;
    size_t told = SIZE_MAX;
    while (done < moves.size()) {
        if (stop_requested != 0) {
            context.note("qtool: stopped waiting; " + std::to_string(under_way.size()) +
                         " moves go on in the cluster, " + std::to_string(moves.size() - begun) +
                         " were not begun");
            return ExitCode::failed;
        }
        const size_t count =
            std::min(at_once - std::min(at_once, under_way.size()), moves.size() - begun);
        if (count > 0) {
            ExitCode failure = ExitCode::done;
            if (!begin_moves(context, moves, begun, count, failure)) {
                return failure;
            }
            for (size_t i = begun; i < begun + count; i++) {
                under_way.emplace(moves[i].topic, moves[i].partition);
            }
            begun += count;
        }
        const auto list = context.admin().reassignments();
        if (!list) {
            return context.fail(list.error());
        }
        std::set<Place> still;
        for (const admin::ReassignmentInfo& one : list->reassignments) {
            const Place place(one.topic, one.partition);
            if (under_way.contains(place)) {
                still.insert(place);
            }
        }
        done += under_way.size() - still.size();
        under_way = std::move(still);
        if (done != told) {
            told = done;
            context.note(std::to_string(done) + " of " + std::to_string(moves.size()) +
                         " partitions moved");
        }
        if (done < moves.size() && begun == moves.size()) {
            std::this_thread::sleep_for(kLookTime);
        } else if (!under_way.empty()) {
            std::this_thread::sleep_for(kLookTime / 3);
        }
    }
    return ExitCode::done;
}

} // namespace qtool::cli
