# cmake -DIN=file -DOUT=source -DHEADER=header -DNAMESPACE=n -DNAME=symbol -P embed.cmake: a text file as a string_view.
file(READ "${IN}" text)
string(CONCAT source
  "// Made by CMake from a text file; not edited.\n#include \"${HEADER}\"\n\nnamespace ${NAMESPACE} {\n\n"
  "const std::string_view ${NAME} = R\"fb_text(${text})fb_text\";\n\n}  // namespace ${NAMESPACE}\n")
file(WRITE "${OUT}" "${source}")
