#include "apps/enforcer/nftables/set_reader.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <array>

#include "apps/enforcer/nftables/attributes.h"
#include "apps/enforcer/nftables/netlink.h"

namespace fb::agent {
namespace {

// False when there is none.
bool step(std::string& key, int by, unsigned char last) {
  for (size_t i = key.size(); i-- > 0;) {
    const auto byte = static_cast<unsigned char>(key[i]);
    key[i] = static_cast<char>(byte + by);
    if (byte != last) return true;
  }
  return false;
}

struct Element {
  std::string key;
  bool end = false;  // of an interval, and no longer in it
  bool everything = false;
};

Element read_element(const nlattr& nest) {
  Element element;
  each_nested(nest, [&](const nlattr& attribute) {
    const auto type = mnl_attr_get_type(&attribute);
    if (type == NFTA_SET_ELEM_FLAGS) {
      const uint32_t flags = ntohl(mnl_attr_get_u32(&attribute));
      element.end = (flags & NFT_SET_ELEM_INTERVAL_END) != 0;
      element.everything = (flags & NFT_SET_ELEM_CATCHALL) != 0;
    } else if (type == NFTA_SET_ELEM_KEY) {
      each_nested(attribute, [&](const nlattr& value) {
        if (mnl_attr_get_type(&value) != NFTA_DATA_VALUE) return;
        element.key.assign(static_cast<const char*>(mnl_attr_get_payload(&value)), mnl_attr_get_payload_len(&value));
      });
    }
  });
  return element;
}

// The kernel holds an interval as its first key and the key after its last; one that ends at the top has no end, and
// one that another follows directly may have none either.
std::vector<KeyRange> pair_up(std::vector<Element> elements, size_t key_size) {
  std::sort(elements.begin(), elements.end(),
            [](const Element& a, const Element& b) { return a.key != b.key ? a.key < b.key : a.end && !b.end; });
  std::vector<KeyRange> ranges;
  bool open = false;
  for (Element& element : elements) {
    if (open) {
      ranges.back().high = element.key;
      step(ranges.back().high, -1, 0x00);
    }
    open = !element.end;
    if (open) ranges.push_back({element.key, std::string(key_size, '\xff')});
  }
  return ranges;
}

}  // namespace

bool to_next_key(std::string& key) {
  return step(key, 1, 0xff);
}

std::vector<KeyRange> joined(std::vector<KeyRange> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<KeyRange> result;
  for (KeyRange& range : ranges) {
    if (!result.empty()) {
      std::string next = result.back().high;
      if (!to_next_key(next) || range.low <= next) {
        result.back().high = std::max(result.back().high, range.high);
        continue;
      }
    }
    result.push_back(std::move(range));
  }
  return result;
}

Result<std::vector<KeyRange>> read_set(Netlink& netlink, int family, const std::string& table, const std::string& set,
                                       size_t key_size, bool interval) {
  alignas(nlmsghdr) std::array<char, 1024> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETSETELEM;
  auto* head = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(nfgenmsg)));
  head->nfgen_family = static_cast<uint8_t>(family);
  head->version = NFNETLINK_V0;
  mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, table.c_str());
  mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, set.c_str());
  std::vector<Element> elements;
  bool everything = false;
  const auto on_message = [&](const nlmsghdr& message) {
    each_attribute_of(message, sizeof(nfgenmsg), [&](const nlattr& list) {
      if (mnl_attr_get_type(&list) != NFTA_SET_ELEM_LIST_ELEMENTS) return;
      each_nested(list, [&](const nlattr& nest) {
        elements.push_back(read_element(nest));
        everything = everything || elements.back().everything;
      });
    });
  };
  FB_TRY_VOID(read_whole([&] {
    elements.clear();
    everything = false;
    return netlink.dump(*request, on_message);
  }));
  if (everything) return std::vector<KeyRange>{{std::string(key_size, '\0'), std::string(key_size, '\xff')}};
  if (interval) return joined(pair_up(std::move(elements), key_size));
  std::vector<KeyRange> keys;
  keys.reserve(elements.size());
  for (const Element& element : elements) keys.push_back({element.key, element.key});
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());  // an interrupted reading may tell a key twice
  return keys;
}

}  // namespace fb::agent
