#include "server/broker/connection_table.h"

#include "lib/base/assert.h"

#include <utility>

namespace qtool::broker {

ConnectionSlot& ConnectionTable::open(Token token) {
    return put(token, std::make_unique<ConnectionSlot>());
}

ConnectionSlot& ConnectionTable::put(Token token, std::unique_ptr<ConnectionSlot> connection) {
    if (slots_.size() <= token.slot) {
        slots_.resize(size_t{token.slot} + 1);
    }
    QT_ASSERT(slots_[token.slot] == nullptr); // the net port reuses a slot only after its end
    connection->token = token;
    slots_[token.slot] = std::move(connection);
    size_++;
    return *slots_[token.slot];
}

std::unique_ptr<ConnectionSlot> ConnectionTable::take(Token token) {
    QT_ASSERT(find(token) != nullptr);
    size_--;
    return std::move(slots_[token.slot]);
}

ConnectionSlot* ConnectionTable::find(Token token) {
    if (token.slot >= slots_.size() || slots_[token.slot] == nullptr ||
        slots_[token.slot]->token != token) {
        return nullptr;
    }
    return slots_[token.slot].get();
}

void ConnectionTable::erase(Token token) {
    take(token);
}

} // namespace qtool::broker
