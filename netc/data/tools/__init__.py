"""Tools that create and inspect databases: conversion, mean images, reports, contact sheets."""
