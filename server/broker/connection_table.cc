#include "server/broker/connection_table.h"

#include "lib/base/assert.h"

namespace qtool::broker {

ConnectionSlot& ConnectionTable::open(Token token) {
    if (slots_.size() <= token.slot) {
        slots_.resize(size_t{token.slot} + 1);
    }
    QT_ASSERT(slots_[token.slot] == nullptr); // the net port reuses a slot only after its end
    slots_[token.slot] = std::make_unique<ConnectionSlot>();
    slots_[token.slot]->token = token;
    size_++;
    return *slots_[token.slot];
}

ConnectionSlot* ConnectionTable::find(Token token) {
    if (token.slot >= slots_.size() || slots_[token.slot] == nullptr ||
        slots_[token.slot]->token != token) {
        return nullptr;
    }
    return slots_[token.slot].get();
}

void ConnectionTable::erase(Token token) {
    QT_ASSERT(find(token) != nullptr);
    slots_[token.slot].reset();
    size_--;
}

} // namespace qtool::broker
