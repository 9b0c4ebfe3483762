#include "server/metadata/record_codec.h"

#include "server/metadata/topic_name.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

namespace qtool::metadata {

namespace {

using Json = nlohmann::json;

constexpr int64_t kRecordVersion = 1; // of every record so far

constexpr std::string_view kClusterKey = "cluster";
constexpr std::string_view kBrokersPrefix = "brokers/";
constexpr std::string_view kLivePrefix = "live/";
constexpr std::string_view kControllerKey = "controller";
constexpr std::string_view kTopicsPrefix = "topics/";
constexpr std::string_view kPartitionsPrefix = "partitions/";
constexpr std::string_view kTopicConfigsPrefix = "configs/topics/";
constexpr std::string_view kProducerIdsKey = "ids/producer";
constexpr std::string_view kTrashPrefix = "trash/";
constexpr std::string_view kBrokerConfigsPrefix = "configs/brokers/";
constexpr std::string_view kBrokerDefaults = "default";
constexpr std::string_view kGroupConfigsPrefix = "configs/groups/";
constexpr std::string_view kQuotasPrefix = "quotas/";

// ---- keys ---------------------------------------------------------------------------------------

Error bad_key(std::string_view key) {
    return {Code::storage_damaged, "metadata key '" + std::string(key) + "' is malformed"};
}

// Only the one spelling that to_string gives: no sign, no leading zeros.
std::optional<int32_t> parse_index(std::string_view text) {
    int32_t number = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || number < 0 || std::to_string(number) != text) {
        return std::nullopt;
    }
    return number;
}

std::string join(std::string_view prefix, const std::string& rest) {
    std::string key(prefix);
    key += rest;
    return key;
}

// ---- values -------------------------------------------------------------------------------------

// dump() in the form that cannot throw: bytes that are no UTF-8 become U+FFFD.
std::string finish(Json&& json) {
    json["version"] = kRecordVersion;
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// A decoded object; `key` names it in errors.
class Record {
public:
    static Result<Record> parse(std::string_view key, std::string_view value) {
        Record record(key, Json::parse(value, nullptr, false));
        if (!record.json_.is_object()) {
            return Error(Code::storage_damaged,
                         "metadata value of '" + std::string(key) + "' is not a JSON object");
        }
        QT_TRY_ASSIGN(const int64_t version,
                      record.number("version", 1, std::numeric_limits<int64_t>::max()));
        if (version > kRecordVersion) {
            return Error(Code::unsupported_version,
                         "metadata value of '" + std::string(key) + "' has version " +
                             std::to_string(version) + ", this qbroker reads up to " +
                             std::to_string(kRecordVersion) + "; it was written by a newer one");
        }
        return record;
    }

    [[nodiscard]] Result<int64_t> number(const char* field, int64_t min, int64_t max) const {
        const auto at = json_.find(field);
        if (at == json_.end()) {
            return bad(field, "is missing");
        }
        const std::optional<int64_t> value = to_int64(*at);
        if (!value || *value < min || *value > max) {
            return bad(field, "is not a number from " + std::to_string(min) + " to " +
                                  std::to_string(max));
        }
        return *value;
    }

    [[nodiscard]] Result<int32_t> number32(const char* field, int32_t min) const {
        QT_TRY_ASSIGN(const int64_t value, number(field, min, std::numeric_limits<int32_t>::max()));
        return static_cast<int32_t>(value);
    }

    [[nodiscard]] Result<uint16_t> port(const char* field) const {
        QT_TRY_ASSIGN(const int64_t value, number(field, 0, std::numeric_limits<uint16_t>::max()));
        return static_cast<uint16_t>(value);
    }

    [[nodiscard]] Result<std::string> text(const char* field) const {
        const auto at = json_.find(field);
        if (at == json_.end() || !at->is_string()) {
            return bad(field, "is missing or not a string");
        }
        return at->get<std::string>();
    }

    [[nodiscard]] Result<std::string> text_or_empty(const char* field) const {
        return json_.contains(field) ? text(field) : Result<std::string>(std::string());
    }

    [[nodiscard]] Result<Uuid> uuid(const char* field) const {
        QT_TRY_ASSIGN(const std::string value, text(field));
        Result<Uuid> id = parse_uuid(value);
        return id && !id->is_zero() ? id : bad(field, "is not an id");
    }

    // Fields that are written only when they say something.
    [[nodiscard]] bool has(const char* field) const { return json_.contains(field); }
    [[nodiscard]] Result<bool> flag(const char* field) const {
        const auto at = json_.find(field);
        if (at == json_.end()) {
            return false;
        }
        return at->is_boolean() ? Result<bool>(at->get<bool>()) : bad(field, "is not a boolean");
    }
    [[nodiscard]] Result<std::vector<BrokerId>> brokers_or_none(const char* field) const {
        return has(field) ? brokers(field) : Result<std::vector<BrokerId>>(std::vector<BrokerId>());
    }
    [[nodiscard]] Result<std::vector<Uuid>> uuids_or_none(const char* field) const {
        std::vector<Uuid> ids;
        const auto at = json_.find(field);
        if (at == json_.end()) {
            return ids;
        }
        if (!at->is_array()) {
            return bad(field, "is not an array");
        }
        for (const Json& element : *at) {
            const Result<Uuid> id =
                element.is_string() ? parse_uuid(element.get<std::string>()) : Result<Uuid>(Uuid{});
            if (!id || id->is_zero()) {
                return bad(field, "holds something else than ids");
            }
            ids.push_back(*id);
        }
        return ids;
    }

    [[nodiscard]] Result<std::vector<BrokerId>> brokers(const char* field) const {
        const auto at = json_.find(field);
        if (at == json_.end() || !at->is_array()) {
            return bad(field, "is missing or not an array");
        }
        std::vector<BrokerId> brokers;
        brokers.reserve(at->size());
        for (const Json& element : *at) {
            const std::optional<int64_t> id = to_int64(element);
            if (!id || *id < 0 || *id > std::numeric_limits<int32_t>::max()) {
                return bad(field, "holds something else than broker ids");
            }
            const BrokerId broker(static_cast<int32_t>(*id));
            if (std::find(brokers.begin(), brokers.end(), broker) != brokers.end()) {
                return bad(field, "holds a broker twice");
            }
            brokers.push_back(broker);
        }
        return brokers;
    }

    [[nodiscard]] Result<std::map<std::string, std::string>> texts(const char* field) const {
        const auto at = json_.find(field);
        if (at == json_.end() || !at->is_object()) {
            return bad(field, "is missing or not an object");
        }
        std::map<std::string, std::string> texts;
        for (const auto& [name, element] : at->items()) {
            if (!element.is_string()) {
                return bad(field, "holds something else than strings");
            }
            texts.emplace(name, element.template get<std::string>());
        }
        return texts;
    }

    [[nodiscard]] Result<std::map<std::string, double>> numbers(const char* field) const {
        const auto at = json_.find(field);
        if (at == json_.end() || !at->is_object()) {
            return bad(field, "is missing or not an object");
        }
        std::map<std::string, double> numbers;
        for (const auto& [name, element] : at->items()) {
            if (!element.is_number()) {
                return bad(field, "holds something else than numbers");
            }
            numbers.emplace(name, element.template get<double>());
        }
        return numbers;
    }

    [[nodiscard]] Error bad(const char* field, const std::string& why) const {
        return {Code::storage_damaged,
                "metadata value of '" + key_ + "': field '" + field + "' " + why};
    }

private:
    Record(std::string_view key, Json json) : key_(key), json_(std::move(json)) {}

    static std::optional<int64_t> to_int64(const Json& json) {
        if (!json.is_number_integer()) {
            return std::nullopt;
        }
        if (json.is_number_unsigned() &&
            json.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
            return std::nullopt;
        }
        return json.get<int64_t>();
    }

    std::string key_;
    Json json_;
};

Json to_json(const std::vector<BrokerId>& brokers) {
    Json array = Json::array();
    for (const BrokerId broker : brokers) {
        array.push_back(broker.value());
    }
    return array;
}

} // namespace

std::string cluster_key() {
    return std::string(kClusterKey);
}

std::string broker_key(BrokerId id) {
    return join(kBrokersPrefix, std::to_string(id.value()));
}

std::string live_key(BrokerId id) {
    return join(kLivePrefix, std::to_string(id.value()));
}

std::string controller_key() {
    return std::string(kControllerKey);
}

std::string topic_key(std::string_view name) {
    return join(kTopicsPrefix, std::string(name));
}

std::string partition_key(const TopicId& id, int32_t partition) {
    return join(kPartitionsPrefix, to_string(id)) + '/' + std::to_string(partition);
}

std::string topic_configs_key(const TopicId& id) {
    return join(kTopicConfigsPrefix, to_string(id));
}

std::string producer_ids_key() {
    return std::string(kProducerIdsKey);
}

std::string trash_key(const TopicId& id) {
    return join(kTrashPrefix, to_string(id));
}

std::string broker_configs_key(BrokerId id) {
    return join(kBrokerConfigsPrefix,
                id == kNoBroker ? std::string(kBrokerDefaults) : std::to_string(id.value()));
}

std::string group_configs_key(std::string_view group) {
    return join(kGroupConfigsPrefix, std::string(group));
}

std::string quotas_key(const QuotaEntity& entity) {
    return join(kQuotasPrefix, to_string(entity));
}

Result<Key> parse_key(std::string_view key) {
    Key out;
    const auto take_prefix = [key](std::string_view prefix) {
        return key.starts_with(prefix) ? std::optional(key.substr(prefix.size())) : std::nullopt;
    };
    const auto parse_id = [&](std::string_view text) -> Result<void> {
        const Result<TopicId> id = parse_uuid(text);
        if (!id || id->is_zero()) {
            return bad_key(key);
        }
        out.topic_id = *id;
        return {};
    };
    if (key == kClusterKey) {
        out.kind = KeyKind::cluster;
        return out;
    }
    if (key == kProducerIdsKey) {
        out.kind = KeyKind::producer_ids;
        return out;
    }
    if (key == kControllerKey) {
        out.kind = KeyKind::controller;
        return out;
    }
    for (const auto& [prefix, kind] :
         {std::pair(kBrokersPrefix, KeyKind::broker), std::pair(kLivePrefix, KeyKind::live)}) {
        if (const auto rest = take_prefix(prefix)) {
            const std::optional<int32_t> id = parse_index(*rest);
            if (!id) {
                return bad_key(key);
            }
            out.kind = kind;
            out.broker = BrokerId(*id);
            return out;
        }
    }
    if (const auto rest = take_prefix(kTopicsPrefix)) {
        if (!check_topic_name(*rest)) { // it becomes a folder's name
            return bad_key(key);
        }
        out.kind = KeyKind::topic;
        out.topic_name = *rest;
        return out;
    }
    if (const auto rest = take_prefix(kPartitionsPrefix)) {
        const size_t slash = rest->find('/');
        const std::optional<int32_t> partition =
            slash == std::string_view::npos ? std::nullopt : parse_index(rest->substr(slash + 1));
        if (!partition) {
            return bad_key(key);
        }
        out.kind = KeyKind::partition;
        out.partition = *partition;
        QT_TRY(parse_id(rest->substr(0, slash)));
        return out;
    }
    if (const auto rest = take_prefix(kTopicConfigsPrefix)) {
        out.kind = KeyKind::topic_configs;
        QT_TRY(parse_id(*rest));
        return out;
    }
    if (const auto rest = take_prefix(kTrashPrefix)) {
        out.kind = KeyKind::trash;
        QT_TRY(parse_id(*rest));
        return out;
    }
    if (const auto rest = take_prefix(kBrokerConfigsPrefix)) {
        const std::optional<int32_t> id =
            *rest == kBrokerDefaults ? std::optional(kNoBroker.value()) : parse_index(*rest);
        if (!id) {
            return bad_key(key);
        }
        out.kind = KeyKind::broker_configs;
        out.broker = BrokerId(*id);
        return out;
    }
    if (const auto rest = take_prefix(kGroupConfigsPrefix)) {
        if (rest->empty()) {
            return bad_key(key);
        }
        out.kind = KeyKind::group_configs;
        out.group = *rest;
        return out;
    }
    if (const auto rest = take_prefix(kQuotasPrefix)) {
        std::optional<QuotaEntity> entity = parse_quota_entity(*rest);
        if (!entity) {
            return bad_key(key);
        }
        out.kind = KeyKind::quotas;
        out.entity = *std::move(entity);
        return out;
    }
    return Error(Code::unsupported_version,
                 "metadata key '" + std::string(key) +
                     "' is of no kind this qbroker knows; it was written by a newer one");
}

std::string encode_cluster(const std::string& cluster_id) {
    return finish({{"id", cluster_id}});
}

Result<std::string> decode_cluster(std::string_view key, std::string_view value) {
    QT_TRY_ASSIGN(const Record record, Record::parse(key, value));
    QT_TRY_ASSIGN(std::string id, record.text("id"));
    if (id.empty()) {
        return record.bad("id", "is empty");
    }
    return id;
}

std::string encode_broker(const BrokerImage& broker) {
    Json json{{"host", broker.host}, {"port", broker.port}};
    if (!broker.rack.empty()) {
        json["rack"] = broker.rack;
    }
    if (!broker.admin_host.empty()) {
        json["admin_host"] = broker.admin_host;
        json["admin_port"] = broker.admin_port;
    }
    if (broker.is_cordoned) {
        json["cordoned"] = true;
    }
    if (!broker.incarnation.is_zero()) {
        json["incarnation"] = to_string(broker.incarnation);
    }
    if (!broker.directory_ids.empty()) {
        Json ids = Json::array();
        for (const Uuid& id : broker.directory_ids) {
            ids.push_back(to_string(id));
        }
        json["directory_ids"] = std::move(ids);
    }
    if (broker.start_count != 0) {
        json["start_count"] = broker.start_count;
    }
    return finish(std::move(json));
}

Result<BrokerImage> decode_broker(std::string_view key, BrokerId id, std::string_view value) {
    QT_TRY_ASSIGN(const Record record, Record::parse(key, value));
    BrokerImage broker;
    broker.id = id;
    QT_TRY_ASSIGN(broker.host, record.text("host"));
    QT_TRY_ASSIGN(broker.port, record.port("port"));
    QT_TRY_ASSIGN(broker.rack, record.text_or_empty("rack"));
    QT_TRY_ASSIGN(broker.admin_host, record.text_or_empty("admin_host"));
    if (!broker.admin_host.empty()) {
        QT_TRY_ASSIGN(broker.admin_port, record.port("admin_port"));
    }
    QT_TRY_ASSIGN(broker.is_cordoned, record.flag("cordoned"));
    if (record.has("incarnation")) {
        QT_TRY_ASSIGN(broker.incarnation, record.uuid("incarnation"));
    }
    QT_TRY_ASSIGN(broker.directory_ids, record.uuids_or_none("directory_ids"));
    if (record.has("start_count")) {
        QT_TRY_ASSIGN(broker.start_count,
                      record.number("start_count", 0, std::numeric_limits<int64_t>::max()));
    }
    return broker;
}

std::string encode_live(const Uuid& incarnation) {
    return finish({{"incarnation", to_string(incarnation)}});
}

Result<Uuid> decode_live(std::string_view key, std::string_view value) {
    QT_TRY_ASSIGN(const Record record, Record::parse(key, value));
    return record.uuid("incarnation");
}

std::string encode_controller(BrokerId id) {
    return finish({{"id", id.value()}});
}

Result<BrokerId> decode_controller(std::string_view key, std::string_view value) {
    QT_TRY_ASSIGN(const Record record, Record::parse(key, value));
    QT_TRY_ASSIGN(const int32_t id, record.number32("id", 0));
    return BrokerId(id);
}

std::string encode_topic(const TopicRecord& topic) {
    return finish({{"id", to_string(topic.id)}, {"partition_count", topic.partition_count}});
}

Result<TopicRecord> decode_topic(std::string_view key, std::string_view value) {
    QT_TRY_ASSIGN(const Record record, Record::parse(key, value));
    TopicRecord topic;
    QT_TRY_ASSIGN(topic.id, record.uuid("id"));
    QT_TRY_ASSIGN(topic.partition_count, record.number32("partition_count", 1));
    return topic;
}

std::string encode_partition(const PartitionImage& partition) {
    Json json{{"replicas", to_json(partition.replicas)},
              {"isr", to_json(partition.isr)},
              {"leader", partition.leader.value()},
              {"leader_epoch", partition.leader_epoch.value()},
              {"partition_epoch", partition.partition_epoch}};
    const auto add = [&json](const char* field, const std::vector<BrokerId>& brokers) {
        if (!brokers.empty()) {
            json[field] = to_json(brokers);
        }
    };
    add("elr", partition.elr);
    add("adding_replicas", partition.adding_replicas);
    add("removing_replicas", partition.removing_replicas);
    if (partition.last_known_leader != kNoBroker) {
        json["last_known_leader"] = partition.last_known_leader.value();
    }
    return finish(std::move(json));
}

Result<PartitionImage> decode_partition(std::string_view key, std::string_view value) {
    QT_TRY_ASSIGN(const Record record, Record::parse(key, value));
    PartitionImage partition;
    QT_TRY_ASSIGN(partition.replicas, record.brokers("replicas"));
    QT_TRY_ASSIGN(partition.isr, record.brokers("isr"));
    QT_TRY_ASSIGN(const int32_t leader, record.number32("leader", kNoBroker.value()));
    QT_TRY_ASSIGN(const int32_t leader_epoch, record.number32("leader_epoch", 0));
    QT_TRY_ASSIGN(partition.partition_epoch, record.number32("partition_epoch", 0));
    partition.leader = BrokerId(leader);
    partition.leader_epoch = LeaderEpoch(leader_epoch);
    const auto is_replica = [&](BrokerId broker) {
        return std::find(partition.replicas.begin(), partition.replicas.end(), broker) !=
               partition.replicas.end();
    };
    QT_TRY_ASSIGN(partition.elr, record.brokers_or_none("elr"));
    QT_TRY_ASSIGN(partition.adding_replicas, record.brokers_or_none("adding_replicas"));
    QT_TRY_ASSIGN(partition.removing_replicas, record.brokers_or_none("removing_replicas"));
    if (record.has("last_known_leader")) {
        QT_TRY_ASSIGN(const int32_t last, record.number32("last_known_leader", 0));
        partition.last_known_leader = BrokerId(last);
    }
    if (partition.replicas.empty()) {
        return record.bad("replicas", "is empty");
    }
    for (const auto& [field, brokers] :
         {std::pair("isr", &partition.isr), std::pair("elr", &partition.elr),
          std::pair("adding_replicas", &partition.adding_replicas),
          std::pair("removing_replicas", &partition.removing_replicas)}) {
        if (!std::all_of(brokers->begin(), brokers->end(), is_replica)) {
            return record.bad(field, "holds a broker that is no replica");
        }
    }
    if (partition.leader != kNoBroker && !is_replica(partition.leader)) {
        return record.bad("leader", "is no replica");
    }
    return partition;
}

std::string encode_configs(const std::map<std::string, std::string>& configs) {
    Json object = Json::object();
    for (const auto& [name, value] : configs) {
        object[name] = value;
    }
    return finish({{"configs", std::move(object)}});
}

Result<std::map<std::string, std::string>> decode_configs(std::string_view key,
                                                          std::string_view value) {
    QT_TRY_ASSIGN(const Record record, Record::parse(key, value));
    return record.texts("configs");
}

std::string encode_quotas(const std::map<std::string, double>& values) {
    Json object = Json::object();
    for (const auto& [name, value] : values) {
        object[name] = value;
    }
    return finish({{"values", std::move(object)}});
}

Result<std::map<std::string, double>> decode_quotas(std::string_view key, std::string_view value) {
    QT_TRY_ASSIGN(const Record record, Record::parse(key, value));
    return record.numbers("values");
}

std::string encode_producer_ids(int64_t next) {
    return finish({{"next", next}});
}

Result<int64_t> decode_producer_ids(std::string_view key, std::string_view value) {
    QT_TRY_ASSIGN(const Record record, Record::parse(key, value));
    return record.number("next", 0, std::numeric_limits<int64_t>::max());
}

std::string encode_trash(const std::string& topic_name) {
    return finish({{"name", topic_name}});
}

Result<std::string> decode_trash(std::string_view key, std::string_view value) {
    QT_TRY_ASSIGN(const Record record, Record::parse(key, value));
    return record.text("name");
}

} // namespace qtool::metadata
