# Files that the binary carries: runtree_embed(TARGET NAME symbol=path …) makes generated/NAME.c and
# generated/NAME.h with `extern const unsigned char symbol[]` and `extern const size_t symbol_size`.
function(runtree_embed target name)
    set(dir ${CMAKE_BINARY_DIR}/generated)
    set(paths)
    foreach(pair IN LISTS ARGN)
        string(REGEX REPLACE "^[^=]+=" "" path ${pair})
        list(APPEND paths ${path})
    endforeach()
    add_custom_command(
        OUTPUT ${dir}/${name}.c ${dir}/${name}.h
        COMMAND ${CMAKE_COMMAND} -E make_directory ${dir}
        COMMAND ${RUNTREE_PYTHON} ${CMAKE_SOURCE_DIR}/tools/embed.py
                ${dir}/${name}.c --header ${dir}/${name}.h ${ARGN}
        DEPENDS ${paths} ${CMAKE_SOURCE_DIR}/tools/embed.py
        VERBATIM)
    target_sources(${target} PRIVATE ${dir}/${name}.c ${dir}/${name}.h)
endfunction()
