// The document of the JSON admin protocol (OpenAPI 3.1), served at /v1/openapi.json. It must list
// exactly the routes of routes.cc (a test compares) and describe the fields of lib/admin/model.h.
#pragma once

#include <string_view>

namespace qtool::admin {

// clang-format off
inline constexpr std::string_view kOpenApi = R"json({
 "openapi": "3.1.0",
 "info": {
  "title": "qbroker admin",
  "version": "1",
  "description": "Fields keep name and type; answers may gain some."
 },
 "paths": {
  "/v1/cluster": {
   "get": {
    "operationId": "getCluster",
    "summary": "The cluster, its brokers, counts of topics and partitions",
    "responses": {
     "200": {
      "description": "the cluster as this broker sees it",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Cluster"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/topics": {
   "get": {
    "operationId": "listTopics",
    "summary": "All topics by name",
    "responses": {
     "200": {
      "description": "sorted by name",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TopicList"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   },
   "post": {
    "operationId": "createTopic",
    "summary": "Create a topic",
    "requestBody": {
     "required": true,
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CreateTopic"}}}
    },
    "responses": {
     "200": {
      "description": "it could be created (validate_only)",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TopicSummary"}}}
     },
     "201": {
      "description": "created",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TopicSummary"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/topics/{name}": {
   "parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}],
   "get": {
    "operationId": "describeTopic",
    "summary": "Partitions, offsets and options of a topic",
    "responses": {
     "200": {
      "description": "the topic",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Topic"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   },
   "patch": {
    "operationId": "alterTopic",
    "summary": "Change options, raise the number of partitions",
    "description": "Options go first; partitions refused after them leave them.",
    "requestBody": {
     "required": true,
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AlterTopic"}}}
    },
    "responses": {
     "200": {
      "description": "altered",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TopicSummary"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   },
   "delete": {
    "operationId": "deleteTopic",
    "summary": "Delete a topic with its records",
    "responses": {
     "204": {"description": "deleted"},
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/groups": {
   "get": {
    "operationId": "listGroups",
    "summary": "All groups by name",
    "responses": {
     "200": {
      "description": "sorted by name",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/GroupList"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/groups/{name}": {
   "parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}],
   "get": {
    "operationId": "describeGroup",
    "summary": "One group with its members, offsets and lag",
    "responses": {
     "200": {
      "description": "the group",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Group"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   },
   "patch": {
    "operationId": "setGroupOffsets",
    "summary": "Commit offsets of a group without members",
    "requestBody": {
     "required": true,
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SetGroupOffsets"}}}
    },
    "responses": {
     "204": {"description": "committed"},
     "default": {"$ref": "#/components/responses/Error"}
    }
   },
   "delete": {
    "operationId": "deleteGroup",
    "summary": "Delete a group without members, with its offsets",
    "responses": {
     "204": {"description": "deleted"},
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/transactions": {
   "get": {
    "operationId": "listTransactions",
    "summary": "All transactional ids",
    "responses": {
     "200": {
      "description": "sorted by id",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TransactionList"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/transactions/{name}": {
   "parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}],
   "get": {
    "operationId": "describeTransaction",
    "summary": "One transactional id with what it has open",
    "responses": {
     "200": {
      "description": "the transactional id",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Transaction"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   },
   "delete": {
    "operationId": "abortTransaction",
    "summary": "Fence the producer and abort what it has open",
    "responses": {
     "204": {"description": "fenced"},
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/config/broker": {
   "get": {
    "operationId": "getBrokerConfig",
    "summary": "Options in force at the broker that answers",
    "responses": {
     "200": {
      "description": "sorted by name",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BrokerConfig"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/configs": {
   "get": {
    "operationId": "listConfigResources",
    "summary": "Brokers, groups with options of their own, topics",
    "responses": {
     "200": {
      "description": "as this broker sees it",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ConfigResourceList"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/configs/topics/{name}": {
   "parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}],
   "get": {
    "operationId": "getTopicConfigs",
    "summary": "Options of a topic in force",
    "responses": {
     "200": {
      "description": "as this broker sees it",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ResourceConfigs"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   },
   "patch": {
    "operationId": "alterTopicConfigs",
    "summary": "Set and unset options of a topic",
    "requestBody": {
     "required": true,
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AlterConfigs"}}}
    },
    "responses": {
     "200": {
      "description": "as it is from now on",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ResourceConfigs"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/configs/brokers/{name}": {
   "parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}],
   "get": {
    "operationId": "getBrokerConfigs",
    "summary": "Options of a broker in force",
    "responses": {
     "200": {
      "description": "as this broker sees it",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ResourceConfigs"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   },
   "patch": {
    "operationId": "alterBrokerConfigs",
    "summary": "Set and unset options of a broker",
    "requestBody": {
     "required": true,
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AlterConfigs"}}}
    },
    "responses": {
     "200": {
      "description": "as it is from now on",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ResourceConfigs"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/configs/groups/{name}": {
   "parameters": [{"name": "name", "in": "path", "required": true, "schema": {"type": "string"}}],
   "get": {
    "operationId": "getGroupConfigs",
    "summary": "Options of a group in force",
    "responses": {
     "200": {
      "description": "as this broker sees it",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ResourceConfigs"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   },
   "patch": {
    "operationId": "alterGroupConfigs",
    "summary": "Set and unset options of a group",
    "requestBody": {
     "required": true,
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AlterConfigs"}}}
    },
    "responses": {
     "200": {
      "description": "as it is from now on",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ResourceConfigs"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/quotas": {
   "get": {
    "operationId": "listQuotas",
    "summary": "All client quotas",
    "responses": {
     "200": {
      "description": "as this broker sees it",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/QuotaList"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   },
   "patch": {
    "operationId": "alterQuota",
    "summary": "Set and remove quotas of one entity",
    "requestBody": {
     "required": true,
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AlterQuota"}}}
    },
    "responses": {
     "200": {
      "description": "as it is from now on",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Quota"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/brokers/{name}": {
   "parameters": [{"name": "name", "in": "path", "required": true, "description": "id of a broker", "schema": {"type": "string"}}],
   "patch": {
    "operationId": "alterBroker",
    "summary": "Cordon a broker, or end that: whether it gets new replicas",
    "requestBody": {
     "required": true,
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AlterBroker"}}}
    },
    "responses": {
     "204": {"description": "done"},
     "default": {"$ref": "#/components/responses/Error"}
    }
   },
   "delete": {
    "operationId": "unregisterBroker",
    "summary": "Forget a broker that is not live",
    "responses": {
     "204": {"description": "forgotten"},
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/plans": {
   "post": {
    "operationId": "plan",
    "summary": "What would have to move to even out the brokers, or to drain one",
    "requestBody": {
     "required": true,
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/PlanRequest"}}}
    },
    "responses": {
     "200": {
      "description": "the moves; nothing is changed",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MovePlan"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/reassignments": {
   "get": {
    "operationId": "listReassignments",
    "summary": "Partitions whose replicas change just now",
    "responses": {
     "200": {
      "description": "by topic and partition",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ReassignmentList"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   },
   "post": {
    "operationId": "alterReassignments",
    "summary": "Which brokers shall hold partitions, or that a change is taken back",
    "requestBody": {
     "required": true,
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AlterReassignments"}}}
    },
    "responses": {
     "200": {
      "description": "one result a wish, in that order",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ReassignmentResults"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/moves": {
   "get": {
    "operationId": "listMoves",
    "summary": "Partitions on their way to another log directory of this broker",
    "responses": {
     "200": {
      "description": "by topic and partition",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MoveList"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   },
   "post": {
    "operationId": "movePartition",
    "summary": "Move a partition to another log directory of this broker",
    "description": "Moving it to where it is ends a move that is under way.",
    "requestBody": {
     "required": true,
     "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MovePartition"}}}
    },
    "responses": {
     "200": {
      "description": "it has begun, or waits for others; GET shows how far it is",
      "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MovePartition"}}}
     },
     "default": {"$ref": "#/components/responses/Error"}
    }
   }
  },
  "/v1/openapi.json": {
   "get": {
    "operationId": "getOpenApi",
    "summary": "This document",
    "responses": {
     "200": {
      "description": "OpenAPI 3.1",
      "content": {"application/json": {"schema": {"type": "object"}}}
     }
    }
   }
  },
  "/metrics": {
   "get": {
    "operationId": "getMetrics",
    "summary": "Counters in Prometheus' text format",
    "responses": {
     "200": {
      "description": "text format 0.0.4",
      "content": {"text/plain": {"schema": {"type": "string"}}}
     }
    }
   }
  },
  "/healthz": {
   "get": {
    "operationId": "getHealth",
    "summary": "Whether the broker serves",
    "responses": {
     "200": {"description": "ok", "content": {"text/plain": {"schema": {"type": "string"}}}},
     "503": {
      "description": "stopping",
      "content": {"text/plain": {"schema": {"type": "string"}}}
     }
    }
   }
  }
 },
 "components": {
  "responses": {
   "Error": {
    "description": "refused or failed",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
   }
  },
  "schemas": {
   "Error": {
    "type": "object",
    "required": ["error"],
    "properties": {
     "error": {
      "type": "object",
      "required": ["code", "message", "detail"],
      "properties": {
       "code": {
        "type": "string",
        "description": "for programs: topic_exists, unknown_topic, invalid_config, ..."
       },
       "message": {
        "type": "string",
        "description": "the code in words, the same for every case of it"
       },
       "detail": {"type": "string", "description": "this case: the thing, the value, the limit"}
      }
     }
    }
   },
   "TopicPartitions": {
    "type": "object",
    "required": ["topic", "partitions"],
    "properties": {
     "topic": {"type": "string"},
     "partitions": {"type": "array", "items": {"type": "integer", "format": "int32"}}
    }
   },
   "GroupSummary": {
    "type": "object",
    "required": ["group", "type", "protocol_type", "state"],
    "properties": {
     "group": {"type": "string"},
     "type": {"type": "string"},
     "protocol_type": {"type": "string"},
     "state": {"type": "string"}
    }
   },
   "GroupList": {
    "type": "object",
    "required": ["groups"],
    "properties": {
     "groups": {"type": "array", "items": {"$ref": "#/components/schemas/GroupSummary"}}
    }
   },
   "GroupMember": {
    "type": "object",
    "required": ["member_id", "instance_id", "client_id", "client_host", "assignment"],
    "properties": {
     "member_id": {"type": "string"},
     "instance_id": {"type": ["string", "null"]},
     "client_id": {"type": "string"},
     "client_host": {"type": "string"},
     "assignment": {"type": "array", "items": {"$ref": "#/components/schemas/TopicPartitions"}}
    }
   },
   "GroupOffset": {
    "type": "object",
    "required": ["topic", "partition", "offset", "leader_epoch", "metadata", "high_watermark", "lag",
     "lag_ms"],
    "properties": {
     "topic": {"type": "string"},
     "partition": {"type": "integer", "format": "int32"},
     "offset": {"type": "integer", "format": "int64"},
     "leader_epoch": {"type": "integer", "format": "int32"},
     "metadata": {"type": "string"},
     "high_watermark": {"type": ["integer", "null"], "format": "int64"},
     "lag": {"type": ["integer", "null"], "format": "int64"},
     "lag_ms": {"type": ["integer", "null"], "format": "int64", "description": "Age of the first record that is not committed; 0 without lag."}
    }
   },
   "Group": {
    "type": "object",
    "required": ["group", "type", "protocol_type", "protocol", "state", "members", "offsets"],
    "properties": {
     "group": {"type": "string"},
     "type": {"type": "string"},
     "protocol_type": {"type": "string"},
     "protocol": {"type": "string"},
     "state": {"type": "string"},
     "members": {"type": "array", "items": {"$ref": "#/components/schemas/GroupMember"}},
     "offsets": {"type": "array", "items": {"$ref": "#/components/schemas/GroupOffset"}}
    }
   },
   "OffsetToSet": {
    "type": "object",
    "required": ["topic", "partition", "offset"],
    "properties": {
     "topic": {"type": "string"},
     "partition": {"type": "integer", "format": "int32"},
     "offset": {"type": "integer", "format": "int64"},
     "metadata": {"type": "string"}
    }
   },
   "SetGroupOffsets": {
    "type": "object",
    "required": ["offsets"],
    "properties": {
     "offsets": {"type": "array", "items": {"$ref": "#/components/schemas/OffsetToSet"}}
    }
   },
   "TransactionSummary": {
    "type": "object",
    "required": ["transactional_id", "producer_id", "state"],
    "properties": {
     "transactional_id": {"type": "string"},
     "producer_id": {"type": "integer", "format": "int64"},
     "state": {"type": "string"}
    }
   },
   "TransactionList": {
    "type": "object",
    "required": ["transactions"],
    "properties": {
     "transactions": {"type": "array", "items": {"$ref": "#/components/schemas/TransactionSummary"}}
    }
   },
   "Transaction": {
    "type": "object",
    "required": ["transactional_id", "state", "producer_id", "producer_epoch", "timeout_ms", "start_ms", "partitions"],
    "properties": {
     "transactional_id": {"type": "string"},
     "state": {"type": "string"},
     "producer_id": {"type": "integer", "format": "int64"},
     "producer_epoch": {"type": "integer", "format": "int32"},
     "timeout_ms": {"type": "integer", "format": "int32"},
     "start_ms": {"type": "integer", "format": "int64"},
     "partitions": {"type": "array", "items": {"$ref": "#/components/schemas/TopicPartitions"}}
    }
   },
   "Broker": {
    "type": "object",
    "required": ["id", "host", "port", "admin_host", "admin_port"],
    "properties": {
     "id": {"type": "integer", "format": "int32"},
     "host": {"type": "string", "description": "advertised, for Kafka's protocol"},
     "port": {"type": "integer"},
     "rack": {"type": "string", "description": "empty: none"},
     "admin_host": {"type": "string", "description": "where its JSON is served"},
     "admin_port": {"type": "integer"},
     "live": {"type": "boolean", "description": "it has a session now"},
     "cordoned": {"type": "boolean", "description": "gets no new replicas"},
     "epoch": {
      "type": "integer",
      "description": "of its registration; 0: it is not live",
      "format": "int64"
     },
     "leader_count": {"type": "integer", "description": "partitions it leads"},
     "replica_count": {"type": "integer", "description": "replicas assigned to it"},
     "in_sync_count": {"type": "integer", "description": "of these: in sync"}
    }
   },
   "Cluster": {
    "type": "object",
    "required": [
     "cluster_id",
     "broker_id",
     "controller_id",
     "version",
     "started_ms",
     "brokers",
     "topic_count",
     "partition_count",
     "offline_partition_count",
     "under_replicated_partition_count",
     "log_dirs"
    ],
    "properties": {
     "cluster_id": {"type": "string"},
     "broker_id": {"type": "integer", "description": "who answered", "format": "int32"},
     "controller_id": {
      "type": "integer",
      "description": "-1: none at present",
      "format": "int32"
     },
     "version": {"type": "string", "description": "of the broker who answered"},
     "started_ms": {
      "type": "integer",
      "description": "when that broker started; milliseconds since 1970",
      "format": "int64"
     },
     "brokers": {"type": "array", "items": {"$ref": "#/components/schemas/Broker"}},
     "topic_count": {"type": "integer", "format": "int64"},
     "partition_count": {"type": "integer", "format": "int64"},
     "offline_partition_count": {
      "type": "integer",
      "description": "without a leader",
      "format": "int64"
     },
     "under_replicated_partition_count": {
      "type": "integer",
      "description": "in-sync replicas fewer than replicas",
      "format": "int64"
     },
     "under_min_isr_partition_count": {
      "type": "integer",
      "description": "in-sync replicas fewer than min.insync.replicas",
      "format": "int64"
     },
     "problems": {
      "type": "array",
      "description": "what is wrong, in words, the worst first; empty: healthy",
      "items": {"type": "string"}
     },
     "log_dirs": {
      "type": "array",
      "description": "log directories of the broker who answered",
      "items": {"$ref": "#/components/schemas/LogDir"}
     }
    }
   },
   "LogDir": {
    "type": "object",
    "required": [
     "path",
     "id",
     "error",
     "free_bytes",
     "total_bytes",
     "reserve_bytes",
     "low_space",
     "partition_count"
    ],
    "properties": {
     "path": {"type": "string"},
     "id": {"type": "string", "description": "22 characters, URL-safe base64"},
     "error": {"type": "string", "description": "why it is offline; empty: it is in use"},
     "free_bytes": {"type": "integer", "format": "int64"},
     "total_bytes": {"type": "integer", "format": "int64"},
     "reserve_bytes": {
      "type": "integer",
      "description": "with less free produce is refused",
      "format": "int64"
     },
     "low_space": {"type": "boolean", "description": "produce is refused now"},
     "partition_count": {"type": "integer", "format": "int64"}
    }
   },
   "TopicSummary": {
    "type": "object",
    "required": ["name", "id", "internal", "partition_count", "replication_factor"],
    "properties": {
     "name": {"type": "string"},
     "id": {"type": "string", "description": "22 characters"},
     "internal": {"type": "boolean"},
     "partition_count": {"type": "integer", "format": "int32"},
     "replication_factor": {"type": "integer", "format": "int32"}
    }
   },
   "TopicList": {
    "type": "object",
    "required": ["topics"],
    "properties": {
     "topics": {"type": "array", "items": {"$ref": "#/components/schemas/TopicSummary"}}
    }
   },
   "CreateTopic": {
    "type": "object",
    "required": ["name"],
    "properties": {
     "name": {"type": "string"},
     "partitions": {
      "type": "integer",
      "description": "absent: the broker's num.partitions",
      "format": "int32",
      "minimum": 1
     },
     "replication_factor": {
      "type": "integer",
      "description": "absent: the broker's default.replication.factor",
      "format": "int32",
      "minimum": 1
     },
     "configs": {"type": "object", "additionalProperties": {"type": "string"}},
     "validate_only": {
      "type": "boolean",
      "description": "only say whether it could be created",
      "default": false
     }
    },
    "additionalProperties": false
   },
   "ConfigChange": {
    "type": "object",
    "required": ["op", "name"],
    "properties": {
     "op": {"type": "string", "enum": ["set", "delete", "append", "subtract"]},
     "name": {"type": "string"},
     "value": {"type": "string", "description": "not needed by delete"}
    },
    "additionalProperties": false
   },
   "AlterTopic": {
    "type": "object",
    "required": [],
    "properties": {
     "configs": {
      "type": "array",
      "description": "no name twice",
      "items": {"$ref": "#/components/schemas/ConfigChange"}
     },
     "partitions": {
      "type": "integer",
      "description": "the new total; rises only",
      "format": "int32",
      "minimum": 1
     },
     "validate_only": {"type": "boolean", "default": false}
    },
    "additionalProperties": false
   },
   "Replica": {
    "type": "object",
    "required": ["broker", "live", "in_sync", "log_end_offset", "lag", "size_bytes"],
    "properties": {
     "broker": {"type": "integer", "format": "int32"},
     "live": {"type": "boolean", "description": "the broker"},
     "in_sync": {"type": "boolean"},
     "log_end_offset": {
      "type": ["integer", "null"],
      "format": "int64",
      "description": "null when its broker does not answer"
     },
     "lag": {
      "type": ["integer", "null"],
      "format": "int64",
      "description": "records that the leader has and it has not"
     },
     "size_bytes": {"type": ["integer", "null"], "format": "int64"}
    }
   },
   "Partition": {
    "type": "object",
    "required": [
     "partition",
     "leader",
     "leader_epoch",
     "replicas",
     "isr",
     "log_start_offset",
     "log_end_offset",
     "high_watermark",
     "size_bytes",
     "log_dir",
     "future_log_dir",
     "future_offset_lag"
    ],
    "properties": {
     "partition": {"type": "integer", "format": "int32"},
     "leader": {"type": "integer", "description": "-1: none", "format": "int32"},
     "leader_epoch": {"type": "integer", "format": "int32"},
     "replicas": {"type": "array", "items": {"type": "integer", "format": "int32"}},
     "isr": {"type": "array", "items": {"type": "integer", "format": "int32"}},
     "log_start_offset": {
      "type": ["integer", "null"],
      "format": "int64",
      "description": "null where the log does not answer"
     },
     "log_end_offset": {
      "type": ["integer", "null"],
      "format": "int64",
      "description": "null where the log does not answer"
     },
     "high_watermark": {
      "type": ["integer", "null"],
      "format": "int64",
      "description": "end of what is committed; null where the log does not answer"
     },
     "size_bytes": {
      "type": ["integer", "null"],
      "format": "int64",
      "description": "null where the log does not answer"
     },
     "log_dir": {
      "type": ["string", "null"],
      "description": "of the broker that answers; null where the log does not answer"
     },
     "future_log_dir": {
      "type": ["string", "null"],
      "description": "where it is going; null: nowhere"
     },
     "future_offset_lag": {
      "type": ["integer", "null"],
      "format": "int64",
      "description": "records that are not there yet; null when it is going nowhere"
     },
     "elr": {
      "type": "array",
      "description": "eligible leaders outside the ISR (KIP-966)",
      "items": {"type": "integer", "format": "int32"}
     },
     "adding_replicas": {"type": "array", "items": {"type": "integer", "format": "int32"}},
     "removing_replicas": {"type": "array", "items": {"type": "integer", "format": "int32"}},
     "replica_states": {
      "type": "array",
      "description": "in the order of replicas",
      "items": {"$ref": "#/components/schemas/Replica"}
     }
    }
   },
   "MoveList": {
    "type": "object",
    "required": ["broker_id", "moves"],
    "properties": {
     "broker_id": {"type": "integer", "description": "who answered", "format": "int32"},
     "moves": {"type": "array", "items": {"$ref": "#/components/schemas/Move"}}
    }
   },
   "Move": {
    "type": "object",
    "required": [
     "topic",
     "partition",
     "log_dir",
     "future_log_dir",
     "future_size_bytes",
     "future_offset_lag"
    ],
    "properties": {
     "topic": {"type": "string"},
     "partition": {"type": "integer", "format": "int32"},
     "log_dir": {"type": "string", "description": "where it is"},
     "future_log_dir": {"type": "string", "description": "where it is going"},
     "future_size_bytes": {"type": "integer", "description": "copied", "format": "int64"},
     "future_offset_lag": {
      "type": "integer",
      "description": "records that are not there yet",
      "format": "int64"
     }
    }
   },
   "MovePartition": {
    "type": "object",
    "required": ["topic", "partition", "log_dir"],
    "properties": {
     "topic": {"type": "string"},
     "partition": {"type": "integer", "format": "int32"},
     "log_dir": {"type": "string", "description": "as in log.dirs of the broker that answers"}
    },
    "additionalProperties": false
   },
   "ConfigEntry": {
    "type": "object",
    "required": ["name", "value", "source", "is_default"],
    "properties": {
     "name": {"type": "string"},
     "value": {
      "type": ["string", "null"],
      "description": "null when it has none or is sensitive"
     },
     "source": {"type": "string", "description": "topic, group, broker, cluster, file or default"},
     "is_default": {"type": "boolean"},
     "read_only": {"type": "boolean"},
     "sensitive": {"type": "boolean"},
     "documentation": {"type": "string"}
    }
   },
   "ConfigResource": {
    "type": "object",
    "required": ["type", "name"],
    "properties": {
     "type": {"type": "string", "enum": ["topic", "broker", "group"]},
     "name": {"type": "string", "description": "of a broker its id, or default for all brokers"}
    }
   },
   "ConfigResourceList": {
    "type": "object",
    "required": ["resources"],
    "properties": {
     "resources": {"type": "array", "items": {"$ref": "#/components/schemas/ConfigResource"}}
    }
   },
   "ResourceConfigs": {
    "type": "object",
    "required": ["type", "name", "configs"],
    "properties": {
     "type": {"type": "string"},
     "name": {"type": "string"},
     "configs": {
      "type": "array",
      "description": "sorted by name",
      "items": {"$ref": "#/components/schemas/ConfigEntry"}
     }
    }
   },
   "AlterConfigs": {
    "type": "object",
    "required": ["configs"],
    "properties": {
     "configs": {
      "type": "array",
      "description": "no name twice",
      "items": {"$ref": "#/components/schemas/ConfigChange"}
     },
     "validate_only": {"type": "boolean", "default": false}
    },
    "additionalProperties": false
   },
   "AlterBroker": {
    "type": "object",
    "required": ["cordoned"],
    "properties": {"cordoned": {"type": "boolean"}},
    "additionalProperties": false
   },
   "PlanRequest": {
    "type": "object",
    "required": ["kind"],
    "properties": {
     "kind": {"type": "string", "enum": ["rebalance", "drain"]},
     "broker": {"type": "integer", "format": "int32", "description": "to be drained"}
    },
    "additionalProperties": false
   },
   "MovePlan": {
    "type": "object",
    "required": ["moves", "stuck"],
    "properties": {
     "moves": {"type": "array", "items": {"$ref": "#/components/schemas/ReplicaMove"}},
     "stuck": {"type": "array", "description": "partitions without a leader, or for which no other broker is left", "items": {"type": "string"}}
    }
   },
   "ReplicaMove": {
    "type": "object",
    "required": ["topic", "partition", "from", "to"],
    "properties": {
     "topic": {"type": "string"},
     "partition": {"type": "integer", "format": "int32"},
     "from": {"type": "array", "items": {"type": "integer", "format": "int32"}},
     "to": {"type": "array", "items": {"type": "integer", "format": "int32"}}
    }
   },
   "ReassignmentList": {
    "type": "object",
    "required": ["reassignments"],
    "properties": {
     "reassignments": {"type": "array", "items": {"$ref": "#/components/schemas/Reassignment"}}
    }
   },
   "Reassignment": {
    "type": "object",
    "required": ["topic", "partition", "replicas", "adding", "removing"],
    "properties": {
     "topic": {"type": "string"},
     "partition": {"type": "integer", "format": "int32"},
     "replicas": {"type": "array", "items": {"type": "integer", "format": "int32"}},
     "adding": {"type": "array", "items": {"type": "integer", "format": "int32"}},
     "removing": {"type": "array", "items": {"type": "integer", "format": "int32"}}
    }
   },
   "AlterReassignments": {
    "type": "object",
    "required": ["reassignments"],
    "properties": {
     "reassignments": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/ReassignmentWish"}}
    },
    "additionalProperties": false
   },
   "ReassignmentWish": {
    "type": "object",
    "required": ["topic", "partition"],
    "properties": {
     "topic": {"type": "string"},
     "partition": {"type": "integer", "format": "int32"},
     "replicas": {"type": ["array", "null"], "description": "null: take back what is under way", "items": {"type": "integer", "format": "int32"}}
    },
    "additionalProperties": false
   },
   "ReassignmentResults": {
    "type": "object",
    "required": ["results"],
    "properties": {
     "results": {"type": "array", "items": {"$ref": "#/components/schemas/ReassignmentResult"}}
    }
   },
   "ReassignmentResult": {
    "type": "object",
    "required": ["topic", "partition", "error", "detail"],
    "properties": {
     "topic": {"type": "string"},
     "partition": {"type": "integer", "format": "int32"},
     "error": {"type": "string", "description": "empty: it is begun"},
     "detail": {"type": "string"}
    }
   },
   "QuotaPart": {
    "type": "object",
    "required": ["type", "name"],
    "properties": {
     "type": {"type": "string", "enum": ["user", "client-id", "ip"]},
     "name": {"type": ["string", "null"], "description": "null: the default"}
    },
    "additionalProperties": false
   },
   "Quota": {
    "type": "object",
    "required": ["entity", "values"],
    "properties": {
     "entity": {"type": "array", "items": {"$ref": "#/components/schemas/QuotaPart"}},
     "values": {"type": "object", "additionalProperties": {"type": "number"}}
    }
   },
   "QuotaList": {
    "type": "object",
    "required": ["quotas"],
    "properties": {
     "quotas": {"type": "array", "items": {"$ref": "#/components/schemas/Quota"}}
    }
   },
   "AlterQuota": {
    "type": "object",
    "required": ["entity"],
    "properties": {
     "entity": {"type": "array", "items": {"$ref": "#/components/schemas/QuotaPart"}},
     "set": {"type": "object", "additionalProperties": {"type": "number"}},
     "remove": {"type": "array", "items": {"type": "string"}},
     "validate_only": {"type": "boolean", "default": false}
    },
    "additionalProperties": false
   },
   "Topic": {
    "type": "object",
    "required": ["name", "id", "internal", "partitions", "configs"],
    "properties": {
     "name": {"type": "string"},
     "id": {"type": "string"},
     "internal": {"type": "boolean"},
     "partitions": {
      "type": "array",
      "description": "by partition",
      "items": {"$ref": "#/components/schemas/Partition"}
     },
     "configs": {
      "type": "array",
      "description": "sorted by name",
      "items": {"$ref": "#/components/schemas/ConfigEntry"}
     }
    }
   },
   "BrokerConfig": {
    "type": "object",
    "required": ["broker_id", "configs"],
    "properties": {
     "broker_id": {"type": "integer", "format": "int32"},
     "configs": {
      "type": "array",
      "description": "sorted by name",
      "items": {"$ref": "#/components/schemas/ConfigEntry"}
     }
    }
   }
  }
 }
})json";
// clang-format on

} // namespace qtool::admin
