# A wrong-way include fails the build, not only ./dev check.
set(check_includes_folders model adapters cli sql server watch handlers tests bench)
list(TRANSFORM check_includes_folders REPLACE "^.+$" "${CMAKE_SOURCE_DIR}/\\0/*.[ch]")
file(GLOB_RECURSE check_includes_sources CONFIGURE_DEPENDS ${check_includes_folders})
set(check_includes_stamp ${CMAKE_BINARY_DIR}/check_includes.stamp)
add_custom_command(
    OUTPUT ${check_includes_stamp}
    COMMAND ${RUNTREE_PYTHON} ${CMAKE_SOURCE_DIR}/tools/check.py
    COMMAND ${CMAKE_COMMAND} -E touch ${check_includes_stamp}
    DEPENDS ${check_includes_sources} ${CMAKE_SOURCE_DIR}/tools/check.py
    COMMENT "Checking the direction of includes"
    VERBATIM)
add_custom_target(check_includes ALL DEPENDS ${check_includes_stamp})
