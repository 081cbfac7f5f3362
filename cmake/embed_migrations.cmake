# Writes OUT: the files of DIR (NNNN_name.sql, in order of their names) as one C table.
# SQL text becomes a list of bytes, so that no quoting can go wrong.
file(GLOB files ${DIR}/*.sql)
list(SORT files)
set(bodies "")
set(rows "")
set(i 0)
foreach(f IN LISTS files)
  get_filename_component(name ${f} NAME_WE)
  file(READ ${f} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND bodies "static const uint8_t sql_${i}[] = {${bytes}0};\n")
  string(APPEND rows "    {\"${name}\", (const char *)sql_${i}, sizeof sql_${i} - 1},\n")
  math(EXPR i "${i} + 1")
endforeach()
file(WRITE ${OUT} "/* Made by cmake/embed_migrations.cmake from migrations/: do not edit. */
#include \"store/migrations_embedded.h\"

#include <stdint.h>

${bodies}
const struct migration migrations_embedded[] = {
${rows}};
const size_t migrations_embedded_count = ${i};
")
