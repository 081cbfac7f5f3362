# Writes OUT: the bytes of IN as the C array NAME, which HEADER declares, and their number NAME_len.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
get_filename_component(source ${IN} NAME)
file(WRITE ${OUT} "/* Made by cmake/embed_file.cmake from ${source}: do not edit. */
#include \"${HEADER}\"

const uint8_t ${NAME}[] = {${bytes}0};
const size_t ${NAME}_len = sizeof ${NAME} - 1;
")
