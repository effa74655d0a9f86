// The store: one SQLite file under the data directory, behind the ports Record and ActionStore. One process owns a data
// directory (a lock file says so); inside it one thread writes and every other reads the last commit on read-only
// connections. Thread-safe. A write returns when it is on disk (one fsync, shared by the callers that wait).
//
// How it fails: see writer.h; a file that is damaged, empty, not a record or from a newer Firebreak is refused and left
// alone. Tables, views, backup: docs/record.md.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/ports/action_store.h"
#include "engine/ports/agent_store.h"
#include "engine/ports/endpoint_directory.h"
#include "engine/ports/record.h"
#include "engine/record/identities.h"
#include "engine/record/policies.h"
#include "engine/record/response_actions.h"
#include "engine/record/stream.h"

namespace fb {

struct StoreOptions {
  std::string data_dir;
  const Clock* clock = nullptr;  // the system's when null; must outlive the store
  Judge* judge = nullptr;        // must outlive the store; without one nothing that plans an action can be kept
  std::vector<std::string> protected_hosts;  // endpoint ids, host ids or host names (these without regard to case)
  std::vector<std::string> protected_tags{"protected", "dc",        "dns",        "dhcp",
                                          "kafka",     "firebreak", "hypervisor", "backup"};
  int64_t lease_ms = 0;                          // of an isolate that names none; 0 = until released
  int64_t intent_expiry_ms = 14 * 86'400'000ll;  // an action that could not be delivered for so long expires
  int64_t approval_expiry_ms = 4 * 3'600'000ll;  // and one that nobody decided on
  // Whether a host that let itself back in by a code, or because it was locked out, may have: asked inside a
  // transaction, must not call the store. Empty: nothing is proven but the end of a lease.
  std::function<bool(const std::string& endpoint_id, const LocalRelease& release)> local_release_proven;
  int64_t unhealthy_drift_events = 3;  // an endpoint that had to mend its rules so often
  int64_t drift_window_ms = 600'000;   // within this time is unhealthy
  // After a change of what isolated hosts may talk to (exceptions, endpoint policies and who has them) is durable: in
  // the writer's thread, before the caller of the change returns; must not call the store.
  std::function<void()> open_addresses_changed;
  bool outbox = true;               // keep new alerts for the alerts topic; off when there is none
  bool check = true;                // PRAGMA quick_check before anything else; reads the whole file
  int busy_timeout_ms = 5000;       // how long a foreign writer is waited for
  int64_t ballast_bytes = 4 << 20;  // given up when the disk is full, so that releases and the audit go on
  int64_t max_pages = 0;            // of 4 KiB; a cap on the file's size; 0 = none
  int64_t read_limit_ms = 30'000;   // a read that takes longer is ended
};

// A time in which isolations by rules wait for a person, or are left out, on some endpoints.
struct MaintenanceWindow {
  std::string id;     // given by the store
  std::string scope;  // "host:ENDPOINT_ID" or "tag:TAG"
  int64_t starts_at_ms = 0;
  int64_t ends_at_ms = 0;  // at most 24 h later
  bool suppress = false;   // left out instead of asked about
  bool include_critical = false;
  std::string set_by;
  std::string why;
};

// One line of `firebreak agents list`: an endpoint, or an enrolment that waits for a person or was denied.
struct AgentRow {
  std::string endpoint_id;
  std::string host_id;
  std::string hostname;
  std::string status;  // online, offline, unhealthy; pending, denied
  std::string detail;
  std::string version;
  std::string observed;
  std::vector<std::string> problems;
  int64_t last_seen_ms = 0;
  int64_t certificate_until_ms = 0;  // 0 = none
  bool revoked = false;              // it has no certificate that is valid
};

class ExceptionStore;  // exceptions.h

class Store final : public Record, public ActionStore, public AgentStore {
 public:
  // busy: another process owns the directory. corrupt, unsupported: the file stays as it is.
  static Result<std::unique_ptr<Store>> open(const StoreOptions& options);
  ~Store() override;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Record. Alerts below an offset that is kept already count as known. A batch whose every stream is kept already is
  // no error and changes nothing; one that starts above the stored offset is a conflict unless its gap is known.
  Result<KeptBatch> keep(const BatchOutcome& outcome) override;
  Result<std::optional<int64_t>> next_offset(const std::string& cluster, const std::string& topic, int32_t epoch,
                                             int32_t partition) override;

  // ActionStore.
  Result<std::vector<OpenAction>> open_actions() override;
  Result<bool> move(const ActionMove& move) override;
  Result<std::vector<Submitted>> submit(const ActionRequest& request) override;
  Result<ActionState> decide(const std::string& action_id, bool approve, const std::string& who,
                             const std::string& comment) override;
  Status mark_stuck(const std::string& action_id, const std::string& why) override;
  Status add_token(const std::string& token_sha256, int64_t expires_at_ms) override;
  Status seen(const EndpointReport& report) override;
  Status set_status(const std::string& endpoint_id, AgentStatus status, const std::string& why) override;
  Result<std::vector<Endpoint>> endpoints() override;
  Result<bool> is_protected(const std::string& endpoint_id) override;
  Result<bool> kill_switch() override;  // from memory: a guard may ask from inside its judgement
  Status set_kill_switch(bool on, const std::string& who, const std::string& why) override;

  // AgentStore.
  Result<Admission> admit(const EndpointReport& agent, const std::string& key_sha256,
                          const std::string& token_sha256) override;
  Status keep_agent(const EndpointReport& agent, const std::string& certificate_sha256, int64_t expires_at_ms,
                    std::vector<std::string>* replaced) override;
  Status add_certificate(const std::string& endpoint_id, const std::string& certificate_sha256,
                         int64_t expires_at_ms) override;
  Result<std::string> use_certificate(const std::string& certificate_sha256) override;
  Result<int64_t> raise_epoch(int64_t above) override;
  Status contest(const std::string& endpoint_id, const std::string& why) override;
  bool is_contested(const std::string& endpoint_id) const override;
  Status note(const std::string& actor, const std::string& what, const std::string& ref,
              const std::string& detail) override;

  // Beyond the ports.
  // An enrolment that waits, or an endpoint whose identity two machines used: approved, it is as before. not_found when
  // there is neither.
  Status decide_enrollment(const std::string& agent_id, bool approve, const std::string& who, const std::string& why);
  Result<std::vector<AgentRow>> agents();
  // Of the isolation that the host is in, as far as the record knows; 0 = of none.
  Result<int64_t> isolation_generation(const std::string& endpoint_id);
  const EndpointDirectory& directory() const;  // lives as long as the store; follows every enrolment
  const std::string& db_path() const;          // for record::Reader (queries.h)
  Status revoke_credentials(const std::string& endpoint_id, const std::string& who, const std::string& why);
  Status set_tags(const std::string& endpoint_id, const std::vector<std::string>& tags, const std::string& who,
                  const std::string& why);
  // One tag, at once; but a tag that protects goes only when a second person asks for the same within the time of an
  // approval. Adding it again ends such a request.
  enum class TagChange : uint8_t { none, done, waits };
  Result<TagChange> change_tag(const std::string& endpoint_id, const std::string& tag, bool add, const std::string& who,
                               const std::string& why);
  Result<std::string> add_maintenance(const MaintenanceWindow& window);  // its id
  Result<bool> remove_maintenance(const std::string& id, const std::string& who, const std::string& why);
  Result<std::vector<MaintenanceWindow>> maintenance();
  // These texts of rules run from now on, if they did not before: probation counts from here.
  Status note_rules(const std::vector<RuleMetaPtr>& rules);
  // Closes the breaker of a rule, or the fleet's for "". False: it was not open.
  Result<bool> reset_trip(const std::string& rule_id, const std::string& who, const std::string& why);
  // Takes alerts from the outbox that the broker has (record::Reader::outbox gave their numbers).
  Status mark_published(const std::vector<int64_t>& outbox_seqs);
  // How far a reader of the audit has come, under a name of its own; nothing before it was set.
  Result<std::optional<int64_t>> cursor(const std::string& name);
  Status set_cursor(const std::string& name, int64_t seq);
  Result<int64_t> audit_seq();  // of the newest row of the audit; 0 when there is none

  ExceptionStore exceptions();  // lives as long as the store

  // policies.cpp: endpoint policies. The caller has checked what the settings say. already_exists: the name is taken.
  Result<bool> policy_exists(const std::string& id);
  Result<std::vector<EndpointPolicy>> policies();  // by name
  Result<std::optional<EndpointPolicy>> policy(const std::string& id);
  Result<EndpointPolicy> policy_of(const std::string& endpoint_id);  // the default one for an endpoint without
  Result<std::vector<std::string>> endpoints_of_policy(const std::string& id);
  Result<EndpointPolicy> add_policy(const EndpointPolicy& policy, const std::string& who);  // an empty id is made up
  // conflict: it has another version by now (0 = whichever it has).
  Result<EndpointPolicy> change_policy(const EndpointPolicy& policy, int64_t version, const std::string& who);
  // conflict: it is the default one, or endpoints have it.
  Result<bool> remove_policy(const std::string& id, const std::string& who, const std::string& why);
  // All or none; not_found names the endpoint or policy that is not there. How many changed.
  Result<int64_t> assign_policy(const std::vector<std::string>& endpoint_ids, const std::string& policy_id,
                                const std::string& who);

  // People, keys, sessions (identities.cpp). `who` makes the change; each is a row of the audit. A change that would
  // leave no admin who is not disabled is a conflict.
  Status add_user(const UserRow& user, const std::string& who);  // already_exists
  // All of it or nothing; what it leaves is judged whole.
  Status change_user(const std::string& name, const UserChange& change, const std::string& who, const std::string& why);
  Status set_roles(const std::string& name, const std::vector<Role>& roles, const std::string& who,
                   const std::string& why);
  Status set_disabled(const std::string& name, bool disabled, const std::string& who, const std::string& why);
  // Ends the person's sessions, too.
  Status set_password(const std::string& name, const std::string& password_hash, const std::string& who);
  Result<std::optional<UserRow>> user(const std::string& name);
  Result<std::vector<UserRow>> users();
  Status add_key(const KeyRow& key, const std::string& who);
  Result<bool> revoke_key(const std::string& id, const std::string& who, const std::string& why);  // false: was so
  Result<std::optional<KeyRow>> key(const std::string& id);
  Result<std::vector<KeyRow>> keys(const std::string& person);  // "" = everybody's
  // A key of before there were people: it becomes the admin key of a person who is made for it. One that is known
  // already, revoked ones too, stays as it is.
  Status take_over_key(const KeyRow& key);
  // refused: the person is gone or disabled by now, or has another password than the one whose hash is `checked`, that
  // the login was judged by. nullopt: it was by no password.
  Status add_session(const std::string& token_sha256, const SessionRow& session,
                     const std::optional<std::string>& checked = std::nullopt);
  Result<std::optional<SessionRow>> session(const std::string& token_sha256);
  Status touch_session(const std::string& token_sha256, int64_t now_ms);
  Result<bool> end_session(const std::string& token_sha256, const std::string& who);

  // Whom an alert's event speaks of, asked of the directory as the guard's target is; not_found: no such alert.
  Result<Resolved> resolve_alert(const std::string& alert_id);
  // The request that was made before with this idempotency key; conflict when it was for something else.
  Result<std::optional<std::string>> request_of_key(const ActionRequest& request);
  // response_actions.cpp: what clients see. No ids: all.
  Result<ResponsePage> response_actions(const ResponseFilter& filter);
  Result<std::map<std::string, OpenCounts>> open_counts(const std::vector<std::string>& endpoint_ids);
  Result<std::vector<EndpointDetails>> endpoint_details(const std::vector<std::string>& endpoint_ids);
  Result<EndpointPage> endpoint_page(const EndpointPick& pick);
  // stream.cpp: what clients follow. Events after a number of the sequence, oldest first; the newest number. Those of
  // other kinds come without data, for their numbers; no kinds: all.
  Result<std::vector<StreamEvent>> stream_events(int64_t after, int64_t limit, const std::set<std::string>& kinds = {});
  Result<int64_t> stream_head();

  struct Impl;  // impl.h

 private:
  friend class ApiRules;  // rules_store.h
  friend class Workflow;  // workflow.h
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fb
