#include "server/broker/log_dir_views.h"

namespace qtool::broker {

std::vector<replica::LogDirView> view_log_dirs(const storage::LogDirs& dirs, port::Disk& disk,
                                               MonoTime now) {
    std::vector<replica::LogDirView> views;
    for (size_t i = 0; i < dirs.size(); i++) {
        storage::LogDir& dir = dirs.at(i);
        replica::LogDirView& view = views.emplace_back();
        view.path = dir.path();
        if (dir.data() != nullptr) {
            view.id = dir.data()->directory_id();
        }
        view.partition_count = dir.partition_count();
        if (dir.is_offline()) {
            view.failure = dir.failure();
            continue;
        }
        dir.look(disk, now);
        view.free_bytes = dir.space().free_bytes;
        view.total_bytes = dir.space().total_bytes;
        view.reserve_bytes = dir.reserve_bytes();
        view.is_low = dir.is_low();
    }
    return views;
}

} // namespace qtool::broker
