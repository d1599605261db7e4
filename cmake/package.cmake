# The Debian package: `cpack -G DEB` in a build folder of the release preset.
install(FILES deploy/systemd/runtree.service DESTINATION /lib/systemd/system)
install(FILES deploy/debian/runtree.default DESTINATION /etc/default RENAME runtree)
install(FILES sql/after_restore.sql DESTINATION share/runtree)
install(FILES deploy/man/runtree.1 DESTINATION share/man/man1)
install(FILES README.md DESTINATION share/doc/runtree)
install(FILES LICENSE DESTINATION share/doc/runtree RENAME copyright)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME runtree)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "runtree maintainers <maintainers@users.noreply.example.org>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "run service: action events in, each run live as a tree")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "runtree serve is the service; runtree exec runs a command and reports it as an action of a run, runtree watch shows a run")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "postgresql")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${CMAKE_SOURCE_DIR}/deploy/debian/postinst
    ${CMAKE_SOURCE_DIR}/deploy/debian/prerm
    ${CMAKE_SOURCE_DIR}/deploy/debian/postrm
    ${CMAKE_SOURCE_DIR}/deploy/debian/conffiles)
include(CPack)
