#!/bin/sh
# Removes what a function server never reads. `trim.sh system` for the base image, `trim.sh libraries FOLDER` for installed packages.
set -eu

system() {
    # Lists and caches of the package manager, texts for people, and what installs or edits Python.
    rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /tmp/* /requirements
    find /usr/share/locale /usr/share/doc /usr/share/man /usr/share/info -mindepth 1 -maxdepth 1 -exec rm -rf {} +
    rm -rf /usr/share/python-wheels
    for library in /usr/lib/python3* /usr/local/lib/python3*; do
        [ -d "$library" ] || continue
        for unused in ensurepip idlelib lib2to3 pydoc_data test tkinter turtledemo; do rm -rf "$library/$unused"; done
        find "$library" -maxdepth 2 \( -name 'pip' -o -name 'pip-*' -o -name 'setuptools' -o -name 'setuptools-*' \
            -o -name 'wheel' -o -name 'wheel-*' -o -name 'pkg_resources' -o -name '_distutils_hack' \) -exec rm -rf {} +
    done
    rm -f /usr/bin/pip* /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/bin/2to3* /usr/local/bin/pydoc*
    rm -f /usr/lib/python3/dist-packages/distutils-precedence.pth /usr/local/lib/python3*/site-packages/distutils-precedence.pth
}

libraries() {
    # Tests, caches, type stubs and sources; zstandard's second backend, which only PyPy uses.
    # TensorFlow's tf.test is part of what `import tensorflow` imports.
    find "$1" -path '*/tensorflow/_api' -prune -o -type d \( -name tests -o -name test -o -name __pycache__ \) -prune -exec rm -rf {} +
    find "$1" -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' -o -name '*.a' \) -delete
    rm -f "$1"/lib/python3*/site-packages/zstandard/_cffi*.so
}

"$@"
