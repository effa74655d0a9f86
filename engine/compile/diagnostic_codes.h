// Every code that this component gives a diagnostic. docs/diagnostics.md explains each; a test keeps the two alike.
#pragma once

#include <array>
#include <string_view>

namespace fb::compile::code {

// Of a file as a whole.
inline constexpr std::string_view kFileUnreadable = "file-unreadable";
inline constexpr std::string_view kNotAFile = "not-a-file";
inline constexpr std::string_view kLinkOutside = "link-outside";
inline constexpr std::string_view kFileTooLarge = "file-too-large";
inline constexpr std::string_view kFolderTooDeep = "folder-too-deep";
inline constexpr std::string_view kTooManyRules = "too-many-rules";
inline constexpr std::string_view kNotUtf8 = "not-utf8";
inline constexpr std::string_view kNotText = "not-text";
inline constexpr std::string_view kEmptyFile = "empty-file";
inline constexpr std::string_view kNotARule = "not-a-rule";
inline constexpr std::string_view kNotAnException = "not-an-exception";

// Of how a file is written.
inline constexpr std::string_view kYamlSyntax = "yaml-syntax";
inline constexpr std::string_view kYamlTab = "yaml-tab";
inline constexpr std::string_view kYamlAnchor = "yaml-anchor";
inline constexpr std::string_view kYamlTag = "yaml-tag";
inline constexpr std::string_view kYamlDocuments = "yaml-documents";
inline constexpr std::string_view kTooDeep = "too-deep";
inline constexpr std::string_view kDuplicateKey = "duplicate-key";
inline constexpr std::string_view kBadKey = "bad-key";
inline constexpr std::string_view kJsonSyntax = "json-syntax";
inline constexpr std::string_view kTomlSyntax = "toml-syntax";

// Of a rule.
inline constexpr std::string_view kUnknownKey = "unknown-key";
inline constexpr std::string_view kMissingKey = "missing-key";
inline constexpr std::string_view kWrongType = "wrong-type";
inline constexpr std::string_view kBadValue = "bad-value";
inline constexpr std::string_view kKeyNotForType = "key-not-for-type";
inline constexpr std::string_view kUnsafeText = "unsafe-text";
inline constexpr std::string_view kDuplicateRuleId = "duplicate-rule-id";
inline constexpr std::string_view kUnsupportedType = "unsupported-type";
inline constexpr std::string_view kUnsupportedLanguage = "unsupported-language";
inline constexpr std::string_view kUnsupportedAction = "unsupported-action";
inline constexpr std::string_view kUnsupportedFilter = "unsupported-filter";
inline constexpr std::string_view kUnsupportedException = "unsupported-exception";
inline constexpr std::string_view kExceptionBroken = "exception-broken";
inline constexpr std::string_view kMatchesEverything = "matches-everything";

// Warnings.
inline constexpr std::string_view kNotApplied = "not-applied";
inline constexpr std::string_view kExceptionListMissing = "exception-list-missing";

inline constexpr std::array kAll = {
    kFileUnreadable,
    kNotAFile,
    kLinkOutside,
    kFileTooLarge,
    kFolderTooDeep,
    kTooManyRules,
    kNotUtf8,
    kNotText,
    kEmptyFile,
    kNotARule,
    kNotAnException,
    kYamlSyntax,
    kYamlTab,
    kYamlAnchor,
    kYamlTag,
    kYamlDocuments,
    kTooDeep,
    kDuplicateKey,
    kBadKey,
    kJsonSyntax,
    kTomlSyntax,
    kUnknownKey,
    kMissingKey,
    kWrongType,
    kBadValue,
    kKeyNotForType,
    kUnsafeText,
    kDuplicateRuleId,
    kUnsupportedType,
    kUnsupportedLanguage,
    kUnsupportedAction,
    kUnsupportedFilter,
    kUnsupportedException,
    kExceptionBroken,
    kMatchesEverything,
    kNotApplied,
    kExceptionListMissing,
};

}  // namespace fb::compile::code
