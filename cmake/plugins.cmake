# fb_plugin_list(OUT file HEADER header FUNCTION prefix SIGNATURE "void add_%_routes(Router& router)" CALL "add_%_routes" NAMES a b c)
#   Writes a source with one plain extern row a name, so that adding a file or folder is the whole registration and a
#   misspelt symbol is a link error.
function(fb_plugin_list)
  cmake_parse_arguments(A "" "OUT;HEADER;NAMESPACE;SIGNATURE;TABLE;ROW" "NAMES" ${ARGN})
  set(externs "")
  set(rows "")
  foreach(name IN LISTS A_NAMES)
    string(REPLACE "%" "${name}" extern "${A_SIGNATURE}")
    string(REPLACE "%" "${name}" row "${A_ROW}")
    string(APPEND externs "extern ${extern};\n")
    string(APPEND rows "    ${row},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${A_OUT} CONTENT
"// Made by CMake from the folder; not edited.
#include \"${A_HEADER}\"

namespace ${A_NAMESPACE} {
${externs}
${A_TABLE} = {
${rows}};
}  // namespace ${A_NAMESPACE}
" @ONLY)
endfunction()
