"""conan create packaging/conan [-o spanloom/*:shared=True]"""
import os

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


class Spanloom(ConanFile):
    name = "spanloom"
    version = "0.1.0"
    license = "Apache-2.0"
    description = "Distributed tracing with OpenTelemetry: the SDK for C++"
    package_type = "library"
    settings = "os", "compiler", "build_type", "arch"
    options = {"shared": [True, False], "fPIC": [True, False], "tls": [True, False], "grpc": [True, False]}
    default_options = {"shared": False, "fPIC": True, "tls": True, "grpc": True}

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "cmake/*", "include/*", "src/base/*", "src/otlp/*", "src/privacy/*",
                        "src/send/*", "src/sdk/*", "src/instrumentation/*"):
            copy(self, pattern, ROOT, self.export_sources_folder)

    def requirements(self):
        self.requires("fmt/[>=9 <11]", headers=True, libs=False, visible=False)
        self.requires("tl-expected/[>=1.0]", visible=False)
        self.requires("zlib/[>=1.2.11 <2]")
        if self.options.tls:
            self.requires("openssl/[>=3 <4]")
        if self.options.grpc:
            self.requires("libnghttp2/[>=1.51 <2]")

    def validate(self):
        check_min_cppstd(self, 17)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables.update({"SPANLOOM_SDK_ONLY": True, "SPANLOOM_INSTRUMENTATION": False, "SPANLOOM_SHARED": bool(self.options.shared),
                                          "SPANLOOM_TLS": bool(self.options.tls), "SPANLOOM_GRPC": bool(self.options.grpc)})
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "spanloom")
        self.cpp_info.set_property("cmake_target_name", "spanloom::sdk")
        self.cpp_info.libs = ["spanloom"]
        if self.settings.os == "Linux":
            self.cpp_info.system_libs = ["pthread"]
