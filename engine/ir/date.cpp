// Date literals with date math, and date values of events. UTC, proleptic Gregorian, milliseconds.
#include <algorithm>

#include "engine/ir/typed.h"

namespace fb::ir {

namespace {

constexpr int64_t kSecond = 1000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;
// Results of date math stay within +-200 million years; beyond it they stick to the edge.
constexpr int64_t kEdge = INT64_C(6'000'000'000'000'000'000);

struct Civil {
  int64_t year = 1970;
  int64_t month = 1;  // 1..12
  int64_t day = 1;
};

int64_t floor_div(int64_t a, int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

bool is_leap(int64_t year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int64_t days_in_month(int64_t year, int64_t month) {
  if (month == 2) return is_leap(year) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

// Leap days of all years before `year`, counted from year 0.
int64_t leap_days_before(int64_t year) {
  const int64_t y = year - 1;
  return floor_div(y, 4) - floor_div(y, 100) + floor_div(y, 400);
}

int64_t day_of_year(int64_t year, int64_t month) {
  int64_t days = 0;
  for (int64_t m = 1; m < month; ++m) days += days_in_month(year, m);
  return days;
}

int64_t days_from_epoch(const Civil& c) {
  return (c.year - 1970) * 365 + (leap_days_before(c.year) - leap_days_before(1970)) + day_of_year(c.year, c.month) +
         (c.day - 1);
}

Civil civil_from_days(int64_t days) {
  // 146,097 days are 400 years exactly; the estimate is off by at most one year either way.
  Civil c;
  c.year = 1970 + floor_div(days * 400, 146'097);
  while (days_from_epoch({c.year, 1, 1}) > days) --c.year;
  while (days_from_epoch({c.year + 1, 1, 1}) <= days) ++c.year;
  int64_t rest = days - days_from_epoch({c.year, 1, 1});
  while (rest >= days_in_month(c.year, c.month)) {
    rest -= days_in_month(c.year, c.month);
    ++c.month;
  }
  c.day = rest + 1;
  return c;
}

int64_t clamp_time(int64_t ms) {
  return std::clamp(ms, -kEdge, kEdge);
}

int64_t add_scaled(int64_t ms, int64_t count, int64_t unit) {
  int64_t distance = 0;
  int64_t sum = 0;
  if (__builtin_mul_overflow(count, unit, &distance)) return count < 0 ? -kEdge : kEdge;
  if (__builtin_add_overflow(ms, distance, &sum)) return distance < 0 ? -kEdge : kEdge;
  return clamp_time(sum);
}

// Moves by whole months; a day that the month lacks becomes its last.
int64_t add_months(int64_t ms, int64_t months) {
  const int64_t days = floor_div(ms, kDay);
  const int64_t time = ms - days * kDay;
  Civil c = civil_from_days(days);
  const int64_t index = c.year * 12 + (c.month - 1) + months;
  c.year = floor_div(index, 12);
  c.month = index - c.year * 12 + 1;
  c.day = std::min(c.day, days_in_month(c.year, c.month));
  if (c.year > 190'000'000 || c.year < -190'000'000) return months < 0 ? -kEdge : kEdge;
  return clamp_time(days_from_epoch(c) * kDay + time);
}

int64_t step_by(int64_t ms, int64_t count, char unit) {
  switch (unit) {
    case 'y':
      return add_months(ms, count * 12);
    case 'M':
      return add_months(ms, count);
    case 'w':
      return add_scaled(ms, count, 7 * kDay);
    case 'd':
      return add_scaled(ms, count, kDay);
    case 'h':
    case 'H':
      return add_scaled(ms, count, kHour);
    case 'm':
      return add_scaled(ms, count, kMinute);
    default:
      return add_scaled(ms, count, kSecond);
  }
}

int64_t floor_to(int64_t ms, int64_t unit) {
  return floor_div(ms, unit) * unit;
}

int64_t round_down(int64_t ms, char unit) {
  const int64_t days = floor_div(ms, kDay);
  switch (unit) {
    case 'y':
      return days_from_epoch({civil_from_days(days).year, 1, 1}) * kDay;
    case 'M': {
      Civil c = civil_from_days(days);
      c.day = 1;
      return days_from_epoch(c) * kDay;
    }
    case 'w':  // weeks begin on Monday; day 0 was a Thursday
      return (days - (days + 3 - floor_div(days + 3, 7) * 7)) * kDay;
    case 'd':
      return days * kDay;
    case 'h':
    case 'H':
      return floor_to(ms, kHour);
    case 'm':
      return floor_to(ms, kMinute);
    default:
      return floor_to(ms, kSecond);
  }
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// A reader over the text of a date.
struct Reader {
  std::string_view text;
  size_t at = 0;

  bool done() const { return at == text.size(); }
  bool take(char c) {
    if (at >= text.size() || text[at] != c) return false;
    ++at;
    return true;
  }
  // Exactly `count` digits.
  bool take_number(size_t count, int64_t* out) {
    if (text.size() - at < count) return false;
    int64_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      if (!is_digit(text[at + i])) return false;
      value = value * 10 + (text[at + i] - '0');
    }
    at += count;
    *out = value;
    return true;
  }
};

struct Instant {
  int64_t first_ms = 0;
  int64_t last_ms = 0;
};

// Z, +hh, +hhmm, +hh:mm; minutes east of Greenwich.
bool take_zone(Reader& in, int64_t* minutes) {
  *minutes = 0;
  if (in.take('Z')) return true;
  int64_t sign = 0;
  if (in.take('+')) {
    sign = 1;
  } else if (in.take('-')) {
    sign = -1;
  } else {
    return false;
  }
  int64_t hours = 0;
  int64_t rest = 0;
  if (!in.take_number(2, &hours)) return false;
  if (in.take(':')) {
    if (!in.take_number(2, &rest)) return false;
  } else if (!in.done() && !in.take_number(2, &rest)) {
    return false;
  }
  if (hours > 18 || rest > 59) return false;
  *minutes = sign * (hours * 60 + rest);
  return true;
}

std::optional<Instant> parse_iso(std::string_view text) {
  Reader in{text};
  Civil date;
  if (!in.take_number(4, &date.year)) return std::nullopt;
  int64_t hour = 0;
  int64_t minute = 0;
  int64_t second = 0;
  int64_t milli = 0;
  int64_t zone = 0;
  int64_t filled = kDay - 1;  // what the missing parts of the time come to when they are filled up

  bool has_day = false;
  if (in.take('-')) {
    if (!in.take_number(2, &date.month)) return std::nullopt;
    if (in.take('-')) {
      if (!in.take_number(2, &date.day)) return std::nullopt;
      has_day = true;
    }
  }
  if (date.month < 1 || date.month > 12 || date.day < 1 || date.day > days_in_month(date.year, date.month)) {
    return std::nullopt;
  }
  if (has_day && in.take('T')) {
    if (!in.take_number(2, &hour)) return std::nullopt;
    filled = kHour - 1;
    if (in.take(':')) {
      if (!in.take_number(2, &minute)) return std::nullopt;
      filled = kMinute - 1;
      if (in.take(':')) {
        if (!in.take_number(2, &second)) return std::nullopt;
        filled = kSecond - 1;
        if (in.take('.') || in.take(',')) {
          int64_t scale = 100;
          size_t digits = 0;
          while (!in.done() && is_digit(in.text[in.at])) {
            milli += scale * (in.text[in.at] - '0');
            scale /= 10;
            ++in.at;
            ++digits;
          }
          if (digits == 0) return std::nullopt;
          filled = 0;
        }
      }
    }
    if (hour > 23 || minute > 59 || second > 59) return std::nullopt;
  }
  if (has_day && !in.done() && !take_zone(in, &zone)) return std::nullopt;
  if (!in.done()) return std::nullopt;

  const int64_t first =
      days_from_epoch(date) * kDay + hour * kHour + minute * kMinute + second * kSecond + milli - zone * kMinute;
  return Instant{first, first + filled};
}

// Epoch milliseconds: an integer, or a decimal whose finer digits are cut.
std::optional<Instant> parse_epoch(std::string_view text) {
  Reader in{text};
  const bool negative = in.take('-');
  const size_t first = in.at;
  int64_t value = 0;
  while (!in.done() && is_digit(in.text[in.at])) {
    if (value > kEdge / 10) return std::nullopt;
    value = value * 10 + (in.text[in.at] - '0');
    ++in.at;
  }
  if (in.at == first) return std::nullopt;
  if (in.take('.')) {
    const size_t fraction = in.at;
    while (!in.done() && is_digit(in.text[in.at])) ++in.at;
    if (in.at == fraction) return std::nullopt;
  }
  if (!in.done()) {
    // 1.7e12 is a number as well.
    const auto number = parse_json_number(text);
    if (!number || number->kind != Number::Kind::real) return std::nullopt;
    if (!(number->d > -1e18 && number->d < 1e18)) return std::nullopt;
    value = static_cast<int64_t>(number->d);
    return Instant{value, value};
  }
  if (negative) value = -value;
  return Instant{value, value};
}

// ISO goes first, so four digits are a year.
std::optional<Instant> parse_instant(std::string_view text) {
  if (const auto iso = parse_iso(text)) return iso;
  return parse_epoch(text);
}

bool parse_math(std::string_view text, std::vector<DateLiteral::Step>& out) {
  constexpr std::string_view kUnits = "yMwdhHms";
  size_t at = 0;
  while (at < text.size()) {
    DateLiteral::Step step;
    step.op = text[at++];
    if (step.op != '+' && step.op != '-' && step.op != '/') return false;
    const size_t first = at;
    int64_t count = 0;
    while (at < text.size() && is_digit(text[at])) {
      count = count * 10 + (text[at] - '0');
      if (count > INT32_MAX) return false;
      ++at;
    }
    step.count = at == first ? 1 : count;
    if (step.op == '/' && step.count != 1) return false;
    if (at >= text.size() || kUnits.find(text[at]) == std::string_view::npos) return false;
    step.unit = text[at++];
    out.push_back(step);
  }
  return true;
}

int64_t apply(int64_t ms, const std::vector<DateLiteral::Step>& math, bool up) {
  ms = clamp_time(ms);
  for (const DateLiteral::Step& step : math) {
    if (step.op == '/') {
      ms = round_down(ms, step.unit);
      if (up) ms = step_by(ms, 1, step.unit) - 1;
    } else {
      ms = step_by(ms, step.op == '-' ? -step.count : step.count, step.unit);
    }
    ms = clamp_time(ms);
  }
  return ms;
}

}  // namespace

DateLiteral::Bounds DateLiteral::resolve(int64_t now_ms) const {
  const int64_t first = relative ? now_ms : first_ms;
  const int64_t last = relative ? now_ms : last_ms;
  if (math.empty()) return {first, last};
  return {apply(first, math, false), apply(last, math, true)};
}

std::optional<DateLiteral> parse_date_literal(std::string_view text) {
  DateLiteral literal;
  std::string_view math;
  if (text.substr(0, 3) == "now") {
    literal.relative = true;
    math = text.substr(3);
  } else {
    const size_t bars = text.find("||");
    const auto base = parse_instant(text.substr(0, bars));
    if (!base) return std::nullopt;
    literal.first_ms = base->first_ms;
    literal.last_ms = base->last_ms;
    if (bars != std::string_view::npos) {
      literal.last_ms = base->first_ms;  // a base for date math is a point: its missing parts fill down only
      math = text.substr(bars + 2);
    }
  }
  if (!parse_math(math, literal.math)) return std::nullopt;
  return literal;
}

std::optional<int64_t> parse_date_value(std::string_view text) {
  const auto instant = parse_instant(text);
  if (!instant) return std::nullopt;
  return instant->first_ms;
}

}  // namespace fb::ir
