#include "server/open_store.h"

#include "server/etcd/etcd_store.h"
#include "server/metadata/store_sqlite.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace qtool {

namespace {

constexpr size_t kPasswordSizeMax = 4096;

} // namespace

Result<std::string> read_text_file(const std::string& what, const std::string& path,
                                   size_t size_max) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return Error(Code::invalid_config, what + " " + path + " cannot be opened", errno);
    }
    std::string text;
    std::array<char, 4096> buffer{};
    ssize_t got = 0;
    // One byte more than allowed is enough for the reader to refuse the file.
    while (text.size() <= size_max && (got = ::read(fd, buffer.data(), buffer.size())) != 0) {
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            const int reason = errno;
            ::close(fd);
            return Error(Code::invalid_config, what + " " + path + " cannot be read", reason);
        }
        text.append(buffer.data(), static_cast<size_t>(got));
    }
    ::close(fd);
    return text;
}

Result<void> check_etcd_options(const config::BrokerConfig& config) {
    const config::BrokerConfig::Etcd& etcd = config.etcd;
    const bool has_settings = !etcd.user.empty() || !etcd.password_file.empty() ||
                              !etcd.ca_file.empty() || !etcd.cert_file.empty() ||
                              !etcd.key_file.empty() || config.settings.contains("cluster.name");
    if (etcd.endpoints.empty() && has_settings) {
        return Error(Code::invalid_config,
                     "cluster.name and the options of etcd need etcd.endpoints (--etcd)");
    }
    if (etcd.user.empty() != etcd.password_file.empty()) {
        return Error(Code::invalid_config, "etcd.user and etcd.password.file need each other");
    }
    if (etcd.cert_file.empty() != etcd.key_file.empty()) {
        return Error(Code::invalid_config,
                     "etcd.tls.cert.file and etcd.tls.key.file need each other");
    }
    for (const std::string* file : {&etcd.ca_file, &etcd.cert_file, &etcd.key_file}) {
        if (!file->empty() && ::access(file->c_str(), R_OK) != 0) {
            return Error(Code::invalid_config, "etcd's TLS file " + *file + " cannot be read",
                         errno);
        }
    }
    return {};
}

std::string sqlite_path(const config::BrokerConfig& config) {
    return config.log_dirs.front() + "/metadata.db";
}

Result<std::unique_ptr<port::MetadataStore>> open_store(const config::BrokerConfig& config,
                                                        uv::UvWorld& world, CoreId metadata_core,
                                                        metrics::StoreCounters& counters) {
    const std::string path = sqlite_path(config);
    if (config.etcd.endpoints.empty()) {
        QT_TRY_ASSIGN(std::unique_ptr<metadata::SqliteStore> store,
                      metadata::SqliteStore::open(path));
        return std::unique_ptr<port::MetadataStore>(std::move(store));
    }
    if (::access(path.c_str(), F_OK) == 0) {
        return Error(Code::invalid_config,
                     config.log_dirs.front() + " belongs to a broker without etcd (" + path +
                         "); run qbroker once with the same options and --migrate-to-etcd");
    }
    return open_etcd_store(config, world, metadata_core, counters);
}

Result<std::unique_ptr<port::MetadataStore>> open_etcd_store(const config::BrokerConfig& config,
                                                             uv::UvWorld& world,
                                                             CoreId metadata_core,
                                                             metrics::StoreCounters& counters) {
    const config::BrokerConfig::Etcd& options = config.etcd;
    etcd::EtcdStore::Setup setup;
    setup.endpoints = options.endpoints;
    setup.cluster = options.cluster;
    setup.user = options.user;
    setup.counters = &counters;
    if (!options.password_file.empty()) {
        QT_TRY_ASSIGN(setup.password, read_text_file("etcd.password.file", options.password_file,
                                                     kPasswordSizeMax));
        while (setup.password.ends_with('\n') || setup.password.ends_with('\r')) {
            setup.password.pop_back(); // as editors leave it
        }
        if (setup.password.empty() || setup.password.size() > kPasswordSizeMax) {
            return Error(Code::invalid_config,
                         "etcd.password.file " + options.password_file + " holds no password");
        }
    }
    QT_TRY_ASSIGN(
        port::Http * http,
        world.open_http(metadata_core, {options.ca_file, options.cert_file, options.key_file}));
    const port::CorePorts ports = world.ports(metadata_core);
    return std::unique_ptr<port::MetadataStore>(
        std::make_unique<etcd::EtcdStore>(std::move(setup), *http, *ports.clock, *ports.random));
}

} // namespace qtool
