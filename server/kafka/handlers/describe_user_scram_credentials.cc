// DescribeUserScramCredentials (key 50, KIP-554). No user has SCRAM credentials here: all of them
// are an empty list, and one that is named has none. Kafka's tools ask this beside the quotas of
// users.
#include "lib/protocol/msg/describe_user_scram_credentials.h"

#include "lib/protocol/kafka_error.h"
#include "server/kafka/handlers/handlers.h"

#include <algorithm>

namespace qtool::kafka {

namespace {

using protocol::DescribeUserScramCredentialsRequest;
using protocol::DescribeUserScramCredentialsResponse;
using protocol::KafkaError;

} // namespace

Outcome handle_describe_user_scram_credentials(const Context& context) {
    KAFKA_DECODE(DescribeUserScramCredentialsRequest, request, context);
    DescribeUserScramCredentialsResponse response;
    response.error_message.reset();
    if (request.users) {
        const auto& users = *request.users;
        for (auto user = users.begin(); user != users.end(); ++user) {
            const auto is_same = [&](const auto& other) { return other.name == user->name; };
            if (std::any_of(users.begin(), user, is_same)) {
                continue; // answered already, as asked for twice
            }
            auto& out = response.results.emplace_back();
            out.user = user->name;
            const bool is_twice = std::any_of(user + 1, users.end(), is_same);
            out.error_code = static_cast<int16_t>(is_twice ? KafkaError::duplicate_resource
                                                           : KafkaError::resource_not_found);
            out.error_message = is_twice ? "The user is in the request more than once."
                                         : "The user has no SCRAM credentials.";
        }
    }
    return Answer{make_answer(context.head, response)};
}

} // namespace qtool::kafka
