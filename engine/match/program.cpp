#include "engine/match/program.h"

namespace fb::match {

uint32_t Code::add(const Form& form) {
  return add(form, Step::kAccept, Step::kReject);
}

// Written back to front, since a step must know where its answer leads.
uint32_t Code::add(const Form& form, uint32_t on_true, uint32_t on_false) {
  switch (form.kind) {
    case Form::Kind::always:
      return on_true;
    case Form::Kind::never:
      return on_false;
    case Form::Kind::negate:
      return add(form.children.front(), on_false, on_true);
    case Form::Kind::all_of: {
      uint32_t entry = on_true;
      for (size_t i = form.children.size(); i-- > 0;) entry = add(form.children[i], entry, on_false);
      return entry;
    }
    case Form::Kind::any_of: {
      uint32_t entry = on_false;
      for (size_t i = form.children.size(); i-- > 0;) entry = add(form.children[i], on_true, entry);
      return entry;
    }
    case Form::Kind::nested: {
      const uint32_t block = add(form.children.front());
      nested.push_back({form.id, block});
      steps.push_back({Step::kNested | static_cast<uint32_t>(nested.size() - 1), on_true, on_false});
      return static_cast<uint32_t>(steps.size() - 1);
    }
    case Form::Kind::predicate:
      steps.push_back({form.id, on_true, on_false});
      return static_cast<uint32_t>(steps.size() - 1);
  }
  return on_false;
}

}  // namespace fb::match
