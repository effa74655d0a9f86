#include "engine/config/keys.h"

#include <array>

namespace fb {
namespace {

constexpr int64_t kSecond = 1000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;
using enum KeyType;

constexpr std::array kKeys = {
    Key{"data_dir", text, true, "", "Where the record, keys and certificates are kept; made by `firebreak setup`."},

    Key{"kafka.properties", text_map, true, "",
        "Properties of librdkafka under their own names, such as bootstrap.servers."},
    Key{"kafka.topics", text_list, true, "", "Topics to read events from."},
    Key{"kafka.group", text, false, "firebreak", "Consumer group."},
    Key{"kafka.start", choice, false, "earliest",
        "Where to begin on a partition that neither the record nor the group knows.", "earliest|latest"},
    Key{"kafka.alerts_topic", text, false, "", "Topic that alerts are published to; empty: none."},
    Key{"kafka.identity_bound", text_map, false, "",
        "Topics that belong to one host each, as a pattern with {host.id} or {agent.id}, and the proof: topic."},
    Key{"kafka.epoch", integer, false, "0", "Raise it when a topic was deleted and made anew.", "", 0, 1'000'000},
    Key{"kafka.gap_policy", choice, false, "continue",
        "When records are gone before they were read: tell it and read on, or leave the partition alone until a person "
        "decides.",
        "continue|stop"},

    Key{"rules", text_list, true, "", "Rule files and folders; folders are watched."},
    Key{"exceptions", text_list, false, "", "NDJSON files of exception lists and items, as Kibana exports them."},

    Key{"response.mode", choice, true, "", "What happens when a rule wants an isolation.", "dry_run|approve|enforce"},
    Key{"response.lease", duration, false, "",
        "How long an isolation lasts unless it is released; empty: until release.", "", kMinute, 3650 * kDay},
    Key{"response.protected", text_list, false, "",
        "Endpoints that are never isolated by a rule: ids, host names, or tag:NAME."},
    Key{"response.stop_file", text, false, "", "While this file exists no isolation goes out."},
    Key{"response.isolation.exceptions", text_list, false, "",
        "Addresses and prefixes that an isolated host may still talk to, both ways."},
    Key{"response.isolation.services", text_list, false, "",
        "host:port that an isolated host may still open connections to, such as Kafka brokers and log shippers."},
    Key{"response.isolation.dns", text_list, false, "",
        "Addresses of name servers that an isolated host may still ask; empty: none."},
    Key{"response.isolation.dhcp", flag, false, "true", "An isolated host may still renew its address."},
    Key{"response.isolation.on_lockout", choice, false, "stay",
        "What a host does that can't reach this service after it was isolated: stay isolated and keep trying, or let "
        "itself back in.",
        "stay|rollback"},
    Key{"response.isolation.message", text, false, "",
        "What users who are logged in to an isolated host are told; empty: a built-in text."},
    Key{"response.guards", text_map, false, "",
        "Guards switched on or off, and their limits; docs/guard.md has the names and defaults."},

    Key{"http.listen", text, false, "127.0.0.1:8770", "Address of the API, /metrics, /healthz and /readyz."},
    Key{"http.names", text_list, false, "",
        "Names that clients call the API by, besides this host's own; a request whose Host header says another is "
        "refused."},
    Key{"http.tls.enabled", flag, false, "false",
        "The API speaks HTTPS; must be on where http.listen is not a loopback address."},
    Key{"http.tls.certificate_file", text, false, "",
        "Certificate chain (PEM) of the API; empty: the agent gateway's, signed by Firebreak's own CA."},
    Key{"http.tls.private_key_file", text, false, "", "Private key (PEM, mode 0600) of that certificate."},
    Key{"http.session_idle", duration, false, "30m", "A browser session ends that was not used for this long.", "",
        kMinute, 30 * kDay},
    Key{"http.session_max", duration, false, "12h", "... and after this long, however busy.", "", kMinute, 30 * kDay},
    Key{"http.limits.max_header_bytes", integer, false, "16384", "Size of a request's head.", "", 1024, 1 << 20},
    Key{"http.limits.max_headers", integer, false, "100", "Headers of one request.", "", 8, 10'000},
    Key{"http.limits.max_body_bytes", integer, false, "1048576", "Size of a request's body.", "", 1024, 64 << 20},
    Key{"http.limits.max_import_bytes", integer, false, "10485760", "The same where something is imported.", "", 1024,
        1 << 30},
    Key{"http.limits.header_deadline", duration, false, "10s", "A request's head must be complete within this time.",
        "", 100, kHour},
    Key{"http.limits.body_deadline", duration, false, "30s", "... and its body within this.", "", 100, kHour},
    Key{"http.limits.idle_deadline", duration, false, "60s", "A connection without a request is closed after this.", "",
        100, kDay},
    Key{"http.limits.write_deadline", duration, false, "30s", "A client must have taken an answer within this time.",
        "", 100, kHour},
    Key{"http.limits.max_connections", integer, false, "4096", "Connections that may be open.", "", 1, 1'000'000},
    Key{"http.limits.max_connections_per_address", integer, false, "512", "The same from one address.", "", 1,
        1'000'000},
    Key{"agents.listen", text, false, "0.0.0.0:8771", "Address that agents dial (HTTPS)."},
    Key{"agents.names", text_list, false, "",
        "Names and addresses the gateway's certificate is made for, besides this host's name."},
    Key{"agents.heartbeat", duration, false, "10s", "How often an agent reports its state.", "", 100, kHour},
    Key{"agents.offline_after", duration, false, "30s", "An agent silent for this long is offline.", "", kSecond, kDay},
    Key{"agents.certificate_days", integer, false, "30",
        "How long an agent's certificate is good; the agent renews it after two thirds of that.", "", 1, 3650},
    Key{"agents.unhealthy_drift_events", integer, false, "3",
        "An agent is unhealthy that had to mend its isolation rules this often", "", 1, 1'000'000},
    Key{"agents.unhealthy_drift_window", duration, false, "10m", "... within this time.", "", kSecond, kDay},
    Key{"agents.max_connections", integer, false, "8192", "Connections that agents may hold open.", "", 1, 1'000'000},
    Key{"agents.max_connections_per_address", integer, false, "64", "The same from one address.", "", 1, 1'000'000},

    Key{"notifications.allow_hosts", text_list, false, "",
        "Hosts that URLs of notifications may name, .example.com for all below; empty: every host."},
    Key{"notifications.allow_private", text_list, false, "",
        "Addresses and prefixes that are not public and that URLs of notifications may lead to all the same."},
    Key{"notifications.allow_http", flag, false, "false", "URLs of notifications may be plain http."},
    Key{"notifications.ca_file", text, false, "",
        "CA certificates (PEM) that the servers of notifications are checked with; empty: the system's."},
    Key{"notifications.max_per_minute", integer, false, "30",
        "More than this many to one sink within a minute come as one digest.", "", 1, 10'000},
    Key{"notifications.reminder", duration, false, "24h", "A standing isolation is reminded of this often.", "",
        kSecond, 365 * kDay},
    Key{"notifications.webhook.url", text, false, "", "Notifications go to this URL as JSON."},
    Key{"notifications.webhook.secret_file", text, false, "",
        "File (mode 0600) with the secret that signs them; empty: unsigned."},
    Key{"notifications.webhook.events", text_list, false, "", "Kinds of events that go there; empty: all."},
    Key{"notifications.webhook.min_severity", choice, false, "low", "The lowest severity that goes there.",
        "low|medium|high|critical"},
    Key{"notifications.slack.url_file", text, false, "",
        "File (mode 0600) with the URL of an incoming webhook of Slack or of a chat that takes the same."},
    Key{"notifications.slack.events", text_list, false, "", "Kinds of events that go there; empty: all."},
    Key{"notifications.slack.min_severity", choice, false, "low", "The lowest severity that goes there.",
        "low|medium|high|critical"},
    Key{"notifications.smtp.server", text, false, "", "Mail server: smtp://host:port or smtps://host:port."},
    Key{"notifications.smtp.from", text, false, "", "Address that mails come from."},
    Key{"notifications.smtp.to", text_list, false, "", "Addresses that mails go to."},
    Key{"notifications.smtp.user", text, false, "", "User name at the mail server."},
    Key{"notifications.smtp.password_file", text, false, "", "File (mode 0600) with the password."},
    Key{"notifications.smtp.starttls", choice, false, "required", "Whether smtp:// must turn to TLS.",
        "required|never"},
    Key{"notifications.smtp.events", text_list, false, "", "Kinds of events that go there; empty: all."},
    Key{"notifications.smtp.min_severity", choice, false, "low", "The lowest severity that goes there.",
        "low|medium|high|critical"},
    Key{"notifications.syslog.address", text, false, "",
        "Log server: udp://host:port, tcp://host:port or unix:///dev/log."},
    Key{"notifications.syslog.events", text_list, false, "", "Kinds of events that go there; empty: all."},
    Key{"notifications.syslog.min_severity", choice, false, "low", "The lowest severity that goes there.",
        "low|medium|high|critical"},

    Key{"log.level", choice, false, "info", "The lowest level that is logged.", "debug|info|warn|error"},

    Key{"limits.batch_records", integer, false, "2000", "A batch closes at this many records.", "", 1, 100'000},
    Key{"limits.batch_bytes", integer, false, "4194304", "... or this many bytes.", "", 1024, 1 << 30},
    Key{"limits.batch_wait", duration, false, "100ms", "... or after this long, or at once when nothing more is there.",
        "", 1, kMinute},
    Key{"limits.max_event_bytes", integer, false, "1048576", "A larger record is a dead letter.", "", 1024, 64 << 20},
    Key{"limits.max_event_depth", integer, false, "64", "Objects and arrays within each other.", "", 1, 1000},
    Key{"limits.max_event_keys", integer, false, "20000", "Keys of one event.", "", 1, 10'000'000},
    Key{"limits.max_array_length", integer, false, "100000", "Elements of one array.", "", 1, 10'000'000},
    Key{"limits.max_key_bytes", integer, false, "4096", "Length of one key.", "", 1, 1 << 20},
    Key{"limits.dead_letter_raw_bytes", integer, false, "65536", "How much of a refused record is kept.", "", 0,
        1 << 20},
    Key{"limits.max_rule_file_bytes", integer, false, "262144", "Size of one YAML or TOML rule file.", "", 1024,
        64 << 20},
    Key{"limits.max_rule_import_bytes", integer, false, "67108864", "Size of one NDJSON rule file.", "", 1024, 1 << 30},
    Key{"limits.max_rule_name_bytes", integer, false, "512", "Length of a rule's id and name.", "", 1, 65536},
    Key{"limits.max_yaml_depth", integer, false, "64", "Lists and maps of a rule file within each other.", "", 1, 400},
    Key{"limits.max_pattern_bytes", integer, false, "4096", "Length of one wildcard pattern.", "", 1, 1 << 20},
    Key{"limits.max_query_bytes", integer, false, "65536", "Length of one query.", "", 1, 16 << 20},
    Key{"limits.max_query_depth", integer, false, "200", "Parentheses of a query within each other.", "", 1, 1000},
    Key{"limits.max_query_nodes", integer, false, "20000", "Terms and operators of one query.", "", 1, 1'000'000},
    Key{"limits.max_rules", integer, false, "50000", "Rules in one set.", "", 1, 1'000'000},
};

}  // namespace

std::span<const Key> config_keys() {
  return kKeys;
}

}  // namespace fb
