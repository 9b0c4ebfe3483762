#include "server/replica/log_config.h"

namespace qtool::replica {

namespace {

void set_compression(storage::LogConfig& log, const config::TopicConfig& topic) {
    using protocol::Compression;
    const std::string& type = topic.compression_type;
    if (type == "uncompressed") {
        log.compression = Compression::none;
    } else if (type == "gzip") {
        log.compression = Compression::gzip;
        if (topic.compression_gzip_level >= 0) {
            log.compression_level = topic.compression_gzip_level;
        }
    } else if (type == "snappy") {
        log.compression = Compression::snappy;
    } else if (type == "lz4") {
        log.compression = Compression::lz4;
        log.compression_level = topic.compression_lz4_level;
    } else if (type == "zstd") {
        log.compression = Compression::zstd;
        log.compression_level = topic.compression_zstd_level;
    } // else "producer": as the batch came
}

} // namespace

storage::LogConfig make_log_config(const config::TopicConfig& topic,
                                   int64_t producer_id_expiration_ms) {
    storage::LogConfig log;
    log.segment_bytes = static_cast<uint32_t>(topic.segment_bytes);
    log.segment_ms = topic.segment_ms;
    log.segment_jitter_ms = topic.segment_jitter_ms;
    log.segment_index_bytes = static_cast<uint32_t>(topic.segment_index_bytes);
    log.index_interval_bytes = static_cast<uint32_t>(topic.index_interval_bytes);
    log.retention_ms = topic.retention_ms;
    log.retention_bytes = topic.retention_bytes;
    log.max_message_bytes = static_cast<uint32_t>(topic.max_message_bytes);
    log.timestamp_type = topic.timestamp_type == config::TimestampType::log_append_time
                             ? protocol::TimestampType::log_append_time
                             : protocol::TimestampType::create_time;
    log.timestamp_before_max_ms = topic.timestamp_before_max_ms;
    log.timestamp_after_max_ms = topic.timestamp_after_max_ms;
    log.file_delete_delay_ms = topic.file_delete_delay_ms;
    log.compacted = topic.cleanup_compact;
    log.deletes = topic.cleanup_delete;
    log.min_cleanable_dirty_ratio_ppm = static_cast<uint32_t>(topic.min_cleanable_dirty_ratio_ppm);
    log.min_compaction_lag_ms = topic.min_compaction_lag_ms;
    log.max_compaction_lag_ms = topic.max_compaction_lag_ms;
    log.delete_retention_ms = topic.delete_retention_ms;
    set_compression(log, topic);
    log.producer_id_expiration_ms = producer_id_expiration_ms;
    log.flush_messages = topic.flush_messages;
    log.flush_ms = topic.flush_ms;
    return log;
}

} // namespace qtool::replica
