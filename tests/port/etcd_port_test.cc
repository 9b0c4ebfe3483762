// The contract of the metadata store on a real etcd, and what only a real one can show: members
// that are killed or paused, a cluster without quorum, compaction behind a reader's back, logins.
#include "tests/port/etcd_world.h"
#include "tests/port/store_contract.h"

using namespace qtool;
using namespace qtool::test;

TYPE_TO_STRING(EtcdStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_transactions, EtcdStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_order, EtcdStoreWorld);
TEST_CASE_TEMPLATE_INVOKE(store_session, EtcdStoreWorld);
